"""Average precision on WIDER FACE in all settings: the official protocol, and one with every score a threshold."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool

from crface.array_shapes import FaceMask
from crface.evaluation.curves import Curve, average_precision, exact_curve, official_curve
from crface.evaluation.matching import Detections, Faces, Hits, match

Kept = Mapping[str, Sequence[Bool[np.ndarray, " _"]]]
"""For each setting, one mask an image: which of its faces count."""


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation(Mapping[str, float]):
    """AP of one set of detections in each setting; used as a mapping it gives the official AP, 0..1."""

    ap: dict[str, float]
    """Official: thresholds evenly spaced over the data set's range of scores. NaN where no face is kept."""
    exact_ap: dict[str, float]
    """Every score is a threshold: the same for any strictly monotone change of the scores."""
    curves: dict[str, Curve]
    """The official curve, one point a threshold."""
    exact_curves: dict[str, Curve]
    """The exact curve at the points where recall rises; precision only falls between them."""
    num_images: int
    """All that were given, with and without faces."""
    num_faces: dict[str, int]
    """Faces that the setting keeps."""

    def __getitem__(self, setting: str) -> float:
        return self.ap[setting]

    def __iter__(self) -> Iterator[str]:
        return iter(self.ap)

    def __len__(self) -> int:
        return len(self.ap)


def widerface_ap(
    detections: Detections, faces: Faces, kept: Kept, iou: float = 0.5, num_thresholds: int = 1000
) -> Evaluation:
    """AP in each setting of `kept`, 0..1; 0 without detections, NaN in a setting that keeps no face.

    All three have one item an image: detections `x1 y1 x2 y2 score` in any order, faces `x1 y1 x2 y2`, and
    for each setting which of these faces count. Coordinates are pixels with `x2 = x1 + width`; overlaps are
    measured as the protocol does, where every box is one pixel wider and higher. `iou` makes a hit.

    Raises ValueError that names the image by its position, where shapes do not fit or a number is not finite.
    """
    hits = match(detections, faces, iou)
    masks = {setting: joined_mask(setting, masks, faces) for setting, masks in kept.items()}
    return evaluation_of(hits, masks, num_thresholds)


def evaluation_of(hits: Hits, masks: Mapping[str, FaceMask], num_thresholds: int = 1000) -> Evaluation:
    """The same from hits: `match` of all images, and per setting one mask over all of their faces."""
    curves = {setting: official_curve(hits, mask, num_thresholds) for setting, mask in masks.items()}
    exact_curves = {setting: exact_curve(hits, mask) for setting, mask in masks.items()}
    return Evaluation(
        ap={setting: _ap(curve, masks[setting]) for setting, curve in curves.items()},
        exact_ap={setting: _ap(curve, masks[setting]) for setting, curve in exact_curves.items()},
        curves=curves,
        exact_curves=exact_curves,
        num_images=len(hits.num_faces),
        num_faces={setting: int(mask.sum()) for setting, mask in masks.items()},
    )


def joined_mask(setting: str, masks: Sequence[Bool[np.ndarray, " _"]], faces: Faces) -> FaceMask:
    """Which faces a setting keeps, through all images.

    Raises ValueError naming the setting, and the image by its position, where masks do not fit the faces.
    """
    if len(masks) != len(faces):
        raise ValueError(f"{len(masks)} images in `{setting}`, but {len(faces)} in the detections")
    for image, (mask, boxes) in enumerate(zip(masks, faces, strict=True)):
        if len(mask) != len(boxes):
            raise ValueError(f"image {image}: {len(boxes)} faces, but `{setting}` has a mask of {len(mask)}")
    return np.concatenate([np.zeros(0, dtype=bool), *masks])


def _ap(curve: Curve, is_kept: FaceMask) -> float:
    return average_precision(curve) if is_kept.any() else np.nan
