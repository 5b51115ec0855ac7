"""Whether boxes are `x y w h` in pixels, as they should be, or something that looks like it.

Normalised boxes, centres and corners parse without a complaint, and their AP is near 0 (or, for corners of large
faces, plausible). So the boxes are read in each of these ways and compared with the faces: the best fit tells
what they are.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

import numpy as np
from jaxtyping import Float, Float64

Rows = Float[np.ndarray, "_ 5"]
Boxes = Float64[np.ndarray, "_ 4"]

_MAX_IMAGES: Final = 400  # spread evenly over the images with faces: enough to tell, and quick
_MAX_ROWS: Final = 20  # rows of one image that are compared, those with the highest scores
_FIT: Final = 0.5  # an IoU that is seldom reached by chance
_BETTER: Final = 0.1  # the IoU by which one way to read a box must fit better than another
_MIN_VOTES: Final = 3
_NORMALISED: Final = 1.5  # normalised boxes may reach a little beyond 1


def as_corners(rows: Rows) -> Boxes:
    """Corners `x1 y1 x2 y2` of rows `x y w h ...`, with x2 = x1 + width."""
    return np.concatenate([rows[:, :2], rows[:, :2] + rows[:, 2:4]], axis=1).astype(np.float64)


def _from_centres(rows: Rows) -> Boxes:
    return np.concatenate([rows[:, :2] - rows[:, 2:4] / 2, rows[:, :2] + rows[:, 2:4] / 2], axis=1)


_OTHERS: Final[Mapping[str, Callable[[Rows], Boxes]]] = {
    "centres and sizes (cx cy w h)": _from_centres,
    "corners (x1 y1 x2 y2)": lambda rows: rows[:, :4].astype(np.float64),
}


def suspected_units(detections: Sequence[Rows], faces: Sequence[Boxes]) -> str | None:
    """What the boxes look like instead of `x y w h` in pixels; None if there is no reason to doubt that.

    Both sequences have one item per image: detections `x y w h score`, faces `x1 y1 x2 y2` in pixels. The best
    detections of up to 400 images vote: one that reaches IoU 0.5 with a face when read in another way, and fits
    worse by 0.1 as `x y w h`, is a vote for that way; the reverse is a vote against it. Another way is suspected
    with at least three votes, 5 % of the detections that vote, and three times as many as against it; so
    detections that fit no face in any way raise no suspicion.
    """
    if _looks_normalised(detections, faces):
        return "normalised to 0..1"
    asked = [image for image, boxes in enumerate(faces) if len(boxes) and len(detections[image])]
    asked = asked[:: max(1, len(asked) // _MAX_IMAGES)]
    votes_for = dict.fromkeys(_OTHERS, 0)
    votes_against = dict.fromkeys(_OTHERS, 0)
    num_rows = 0
    for image in asked:
        rows = _best(detections[image], min(_MAX_ROWS, len(faces[image]) + 2))
        as_they_are = _best_iou(as_corners(rows), faces[image])
        num_rows += len(rows)
        for way, corners in _OTHERS.items():
            otherwise = _best_iou(corners(rows), faces[image])
            votes_for[way] += int(((otherwise >= _FIT) & (otherwise >= as_they_are + _BETTER)).sum())
            votes_against[way] += int(((as_they_are >= _FIT) & (as_they_are >= otherwise + _BETTER)).sum())
    way = max(_OTHERS, key=lambda way: votes_for[way] - votes_against[way])
    enough = max(_MIN_VOTES, num_rows / 20, 3 * votes_against[way])
    return way if votes_for[way] >= enough else None


def _looks_normalised(detections: Sequence[Rows], faces: Sequence[Boxes]) -> bool:
    """Whether nearly all boxes lie within a pixel or so of the origin, and faces are larger than that."""
    boxes = np.abs(np.concatenate([np.zeros((0, 4)), *(rows[:, :4] for rows in detections)]))
    reach = boxes.max(axis=1)
    reach = reach[reach > 0]  # some programs write a row of zeros where they find nothing
    sizes = np.concatenate([np.zeros(0), *((f[:, 2:] - f[:, :2]).max(axis=1) for f in faces if len(f))])
    if len(reach) < _MIN_VOTES or len(sizes) == 0 or np.median(sizes) < 2 * _NORMALISED:
        return False
    return bool(np.mean(reach <= _NORMALISED) >= 0.95)


def _best(rows: Rows, number: int) -> Rows:
    return rows[np.argsort(-rows[:, 4], kind="stable")[:number]]


def _best_iou(boxes: Boxes, faces: Boxes) -> Float64[np.ndarray, " _"]:
    """Each box's IoU with its closest face, in continuous coordinates; 0 for an inside-out box (x2 < x1)."""
    a, b = boxes[:, None], faces[None]
    sides = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])
    intersection = np.maximum(sides, 0).prod(axis=2)
    areas = [np.maximum(c[..., 2:] - c[..., :2], 0).prod(axis=2) for c in (a, b)]
    union = areas[0] + areas[1] - intersection
    best: np.ndarray = (intersection / np.maximum(union, 1e-9)).max(axis=1)
    return best
