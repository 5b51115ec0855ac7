"""HAMBox's online high-quality anchor mining (Liu et al. 2020, section 3.2): anchors that turn out to be good.

Many boxes that find a face in the end come from anchors that did not match it. So after the usual matching
by overlap (the first step), a face that has fewer than K anchors gets those unmatched ones whose *regressed*
box, as the network gives it now, overlaps the face by at least T: the best of them, until it has K (the
second step).
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from crface.boxes import iou
from detectors.training.matching import BACKGROUND


def compensate(
    labels: Int64[Tensor, " prior"],
    faces: Float[Tensor, "face 4"],
    regressed: Float[Tensor, "prior 4"],
    anchors_per_face: int,
    regressed_iou: float,
) -> Int64[Tensor, " prior"]:
    """The labels of an image after the second step; the same where no face is short of anchors.

    `labels` are those of `match_priors`, `faces` and `regressed` boxes xyxy in the same pixels. An unmatched
    anchor goes to the face that its regressed box overlaps most (of equals, the first); of equally good anchors
    the first is taken. Anchors that are ignored stay so.
    """
    if len(faces) == 0:
        return labels
    num_matched = torch.bincount(labels[labels >= 0], minlength=len(faces))
    overlaps, nearest = iou(regressed, faces).max(dim=1)
    is_candidate = (labels == BACKGROUND) & (overlaps >= regressed_iou)
    candidates = is_candidate.nonzero(as_tuple=True)[0]
    # best first within each face: sorted by overlap, then, keeping that order, by face
    candidates = candidates[overlaps[candidates].argsort(descending=True, stable=True)]
    candidates = candidates[nearest[candidates].argsort(stable=True)]
    owners = nearest[candidates]
    first_of_owner = torch.searchsorted(owners, owners)
    places = torch.arange(len(owners), device=owners.device) - first_of_owner
    chosen = candidates[places < (anchors_per_face - num_matched)[owners]]
    return labels.index_put((chosen,), nearest[chosen])


def compensate_batch(
    labels: Int64[Tensor, "batch prior"],
    faces: Sequence[Float[Tensor, "_ 4"]],
    regressed: Float[Tensor, "batch prior 4"],
    anchors_per_face: int,
    regressed_iou: float,
) -> Int64[Tensor, "batch prior"]:
    """`compensate` of each image of a batch."""
    images = zip(labels, faces, regressed, strict=True)
    return torch.stack([compensate(*image, anchors_per_face, regressed_iou) for image in images])
