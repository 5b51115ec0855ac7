"""Which prior is to find which face: the matching by overlap that anchor networks are trained with.

RetinaFace (Deng et al. 2019), section 4.2 (priors at IoU 0.35 or more are positive); SSD (Liu et al. 2016),
section 2.2 (each face keeps its best prior).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from crface.boxes import iou
from detectors.networks.priors import encode_boxes, encode_points

BACKGROUND = -1
IGNORED = -2
_SMALLEST_IGNORED_PX = 16.0


@dataclass(frozen=True, slots=True)
class Targets:
    """What a batch's priors are to answer; `offsets` and `landmarks` have a row for each positive of `labels`."""

    labels: Int64[Tensor, "batch prior"]
    """The number of the matched face within its image, `BACKGROUND`, or `IGNORED`."""
    offsets: Float[Tensor, "positive 4"]
    landmarks: Float[Tensor, "positive 10"]
    """Offsets of x and y of five points; NaN where the face's are not known."""


def match_priors(
    faces: Float[Tensor, "face 4"],
    ignored: Float[Tensor, "ignored 4"],
    priors: Float[Tensor, "prior 4"],
    positive_iou: float,
) -> Int64[Tensor, " prior"]:
    """The number of each prior's face, `BACKGROUND` or `IGNORED`; no positives without faces.

    A prior takes the face that it overlaps most, if by at least `positive_iou`; beyond that every face
    takes its best prior, however small the overlap (of two faces with the same best prior, the one that
    overlaps it more). Priors centred in an ignored region, grown to at least 16 px, teach nothing unless
    they have a face. All boxes are xyxy in the same pixels.
    """
    centres = (priors[:, :2] + priors[:, 2:]) / 2
    middles = (ignored[:, :2] + ignored[:, 2:]) / 2
    reaches = ((ignored[:, 2:] - ignored[:, :2]) / 2).clamp(min=_SMALLEST_IGNORED_PX / 2)
    is_ignored = ((centres[:, None] - middles).abs() <= reaches).all(dim=-1).any(dim=1)
    labels = torch.full((len(priors),), BACKGROUND, device=priors.device).masked_fill(is_ignored, IGNORED)
    if len(faces) == 0:
        return labels
    overlaps = iou(faces, priors)
    # Two more than any IoU: a face's best prior is its own against every face that only passes the threshold.
    overlaps[torch.arange(len(faces)), overlaps.argmax(dim=1)] += 2
    best_overlaps, best_faces = overlaps.max(dim=0)
    return torch.where(best_overlaps >= positive_iou, best_faces, labels)


def match_batch(
    faces: Sequence[Float[Tensor, "_ 4"]],
    ignored: Sequence[Float[Tensor, "_ 4"]],
    priors: Float[Tensor, "prior 4"],
    positive_iou: float,
) -> Int64[Tensor, "batch prior"]:
    """`match_priors` of each image of a batch; all boxes are xyxy in the same pixels."""
    return torch.stack(
        [match_priors(f, i, priors, positive_iou) for f, i in zip(faces, ignored, strict=True)]
    )


def make_targets(
    labels: Int64[Tensor, "batch prior"],
    faces: Sequence[Float[Tensor, "_ 4"]],
    priors: Float[Tensor, "prior 4"],
    side_px: int,
    landmarks: Sequence[Float[Tensor, "_ 5 2"] | None] | None = None,
) -> Targets:
    """What the priors of square images of `side_px` should predict, given the face that each should find.

    `faces` are xyxy in pixels, of positive width and height, `landmarks` (x, y) in pixels, NaN or None where they
    are not known; `priors` are those of `detectors.networks.priors.make_priors`, relative.
    """
    offsets, points = [], []
    for image, matched in enumerate(labels):
        is_positive = matched >= 0
        numbers, found = matched[is_positive], priors[is_positive]
        offsets.append(encode_boxes(faces[image][numbers] / side_px, found))
        known = None if landmarks is None else landmarks[image]
        if known is None:
            points.append(found.new_full((len(found), 10), torch.nan))
        else:
            points.append(encode_points(known[numbers] / side_px, found).flatten(1))
    return Targets(labels, torch.cat(offsets), torch.cat(points))
