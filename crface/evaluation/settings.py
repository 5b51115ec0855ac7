"""Settings by face height (Figure 5's bins), and all faces as one (Table 4): masks for `widerface_ap`.

Faces outside a bin are ignored, as the protocol's easy, medium and hard ignore theirs: who finds them neither
gains nor loses.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Int

from crface.evaluation.matching import Faces

HEIGHT_EDGES_PX = (0, 10, 20, 40, 80, 160, 320, 640, 1280, 2560, 5120)
"""Figure 5's bins: its "40" holds faces of 20 < height <= 40, its set faces of 9 to 4,130 pixels."""


def all_faces(faces: Faces) -> dict[str, list[Bool[np.ndarray, " _"]]]:
    """One setting, `all`, that keeps every face: with it `widerface_ap` gives one AP, as in Table 4."""
    return {"all": [np.ones(len(boxes), dtype=bool) for boxes in faces]}


def by_height(
    faces: Faces,
    edges_px: Sequence[int | float] = HEIGHT_EDGES_PX,
    among: Sequence[Bool[np.ndarray, " _"]] | None = None,
) -> dict[str, list[Bool[np.ndarray, " _"]]]:
    """A setting for each bin of face heights, smallest first, named by its upper edge as in Figure 5 ("40").

    It keeps the faces `lower < height <= upper`, of those in `among` (one mask an image) if that is given. A
    face beyond the outer edges, as one of height zero, is in no bin.
    """
    bins = [height_bin(boxes, edges_px) for boxes in faces]
    allowed = [np.ones(len(boxes), dtype=bool) for boxes in faces] if among is None else among
    return {
        name: [(of_face == number) & mask for of_face, mask in zip(bins, allowed, strict=True)]
        for number, name in enumerate(height_names(edges_px))
    }


def height_bin(
    faces: Float[np.ndarray, "face 4"] | Int[np.ndarray, "face 4"],
    edges_px: Sequence[int | float] = HEIGHT_EDGES_PX,
) -> Int[np.ndarray, " face"]:
    """The bin of each face `x1 y1 x2 y2`, 0 for the smallest; -1 if it is in none."""
    number = np.searchsorted(np.asarray(edges_px), faces[:, 3] - faces[:, 1], side="left") - 1
    return np.where(number < len(edges_px) - 1, number, -1)


def height_names(edges_px: Sequence[int | float] = HEIGHT_EDGES_PX) -> tuple[str, ...]:
    """The bins' names, smallest first: their upper edges in pixels."""
    return tuple(f"{upper:g}" for upper in edges_px[1:])
