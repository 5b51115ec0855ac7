"""Losses that compare boxes of a whole batch: beyond the paper, whose order ends at the edge of an image.

AP ranks the detections of all images in one list, so a false positive of one image counts against the faces
of all others. The paper's argument that "the order across different images does not change the outcome of
NMS" (3.2) is right about NMS and silent about AP.
"""

from dataclasses import replace

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from crface.losses.regression import FACE_OVERLAP
from crface.losses.targets import Scale, Targets
from crface.tensor_shapes import ScoreBatch

DUPLICATE_WEIGHT = 0.25
"""What the order of the boxes on one face counts beside the order of faces and background."""

_TEMPERATURE: dict[Scale, float] = {"confidence": 0.05, "logit": 0.5}
"""How far background has to fall behind a face until it hardly counts as being in front of it."""

_SINGLE_BUCKETS = 64

_NOT_FROM, _FACE_FROM = 0.25, 0.45  # IoU; between them a box is neither quite


def batch_rank_loss(refined: ScoreBatch, targets: Targets) -> Float[Tensor, ""]:
    """Mean cross entropy of putting pairs of any two images in oracle order; 0 without pairs.

    All boxes of the batch stand in one list by predicted confidence (equal ones: the earlier image first), and
    rows at distances 1, 2, 4, 8, ... are compared, so that near pairs and far ones take part without a
    draw. A pair costs `softplus(-d)`, d the lead of the box with the higher oracle confidence, and weighs the
    difference of the two oracle confidences: face against background counts, IoU 0.8 against 0.85 hardly does.
    """
    order = targets.predicted[targets.is_box].argsort(descending=True, stable=True)
    score, oracle = refined[targets.is_box][order], targets.oracle[targets.is_box][order]
    total = refined.sum() * 0.0  # a zero that backward() can still walk
    weights = refined.new_zeros(())
    distance = 1
    while distance < len(score):
        better = oracle[:-distance] - oracle[distance:]
        lead = (score[:-distance] - score[distance:]) * better.sign()
        total = total + (better.abs() * F.softplus(-lead)).sum()
        weights = weights + better.abs().sum()
        distance *= 2
    return total / weights.clamp(min=1e-12)


def faces_first_loss(refined: ScoreBatch, targets: Targets, scale: Scale = "confidence") -> Float[Tensor, ""]:
    """Mean of `-log(precision)` at each face of the batch, and a quarter of what its duplicates cost.

    A face is the box that lies best on it (IoU at least 0.5), its duplicates the other boxes on it, background
    all boxes below 0.5. At the place of face i in the list of the whole batch, precision is `t / (t + f)`: t
    faces up to there (itself among them), f background in front of it, counted as `softplus((s_j - s_i) / T) /
    log(2)` each: 1 for an equal score, hardly anything for one that is far behind, and growing for one that is
    ahead, so that the worst mistakes keep a gradient. The mean over faces stands in for AP, which is the mean
    of the precision itself; duplicates are left to NMS and take no part.

    A duplicate costs `softplus((s_duplicate - s_face) / T)`, weighted by how much worse its IoU is: the order
    on a face comes second, and the benchmark asks for no more than IoU 0.5.

    Background is gathered into buckets of equal weight per box, the 64 highest scores alone, the next 64
    buckets of two, then of four and so on, each at its mean score, so that the cost grows with faces times the
    logarithm of boxes. Bucketing after Yavuz et al. 2024, ranking faces before their fine order after Oksuz et
    al. 2021 (Rank & Sort). A batch without faces costs 0, and so does one without background or duplicates.
    """
    temperature = _TEMPERATURE[scale]
    is_on_face = targets.is_box & (targets.oracle >= FACE_OVERLAP)
    score, oracle = refined[is_on_face] / temperature, targets.oracle[is_on_face]
    total = refined.sum() * 0.0
    if len(score) == 0:
        return total
    best = _best_of_face(targets, is_on_face)
    faces = score[torch.unique(best)]
    background = refined[targets.is_box & ~is_on_face] / temperature
    if len(background) > 0:
        height, count = _buckets(background)
        false = (F.softplus(height - faces[:, None]) * count).sum(dim=1) / torch.log(score.new_tensor(2.0))
        num_up_to = (faces.detach() >= faces.detach()[:, None]).sum(dim=1)
        total = total + torch.log1p(false / num_up_to).mean()
    worse = oracle[best] - oracle
    duplicates = (worse * F.softplus(score - score[best])).sum() / worse.sum().clamp(min=1e-12)
    return total + DUPLICATE_WEIGHT * duplicates


def face_or_not_loss(refined: ScoreBatch, targets: Targets, scale: Scale = "confidence") -> Float[Tensor, ""]:
    """`faces_first_loss` of targets that do not tell how well a box lies on its face; 0 as that is.

    The oracle confidence is replaced by a ramp, 0 up to IoU 0.25 and 1 from 0.45: a box is on a face from IoU 0.35,
    and the boxes on a face have no order among them. How tight a box should be is a habit of those who
    labelled a data set, and a ranker that has learnt one set's habit does harm on another (docs/results.md).
    """
    ramp = ((targets.oracle - _NOT_FROM) / (_FACE_FROM - _NOT_FROM)).clamp(0, 1)
    return faces_first_loss(refined, replace(targets, oracle=ramp), scale)


def _best_of_face(targets: Targets, is_on_face: Bool[Tensor, "image box"]) -> Tensor:
    """For each box on a face, the place (among those) of the box with the highest IoU; the first of equals."""
    image, _ = is_on_face.nonzero(as_tuple=True)
    # one number a face: faces are counted within their images
    face = image * (targets.face.max() + 1) + targets.face[is_on_face]
    _, face = torch.unique(face, return_inverse=True)
    highest_first = targets.oracle[is_on_face].argsort(descending=True, stable=True)
    grouped = highest_first[face[highest_first].argsort(stable=True)]
    sizes = face.bincount()
    return grouped[sizes.cumsum(0) - sizes][face]


def _buckets(
    scores: Float[Tensor, " box"],
) -> tuple[Float[Tensor, " bucket"], Float[Tensor, " bucket"]]:
    """Mean score and number of boxes of each bucket, highest first."""
    ordered = scores.sort(descending=True).values
    num_sizes = (len(scores) // _SINGLE_BUCKETS + 1).bit_length()
    sizes = 2 ** (torch.arange(num_sizes * _SINGLE_BUCKETS, device=scores.device) // _SINGLE_BUCKETS)
    place = torch.arange(len(scores), device=scores.device)
    bucket = torch.searchsorted(sizes.cumsum(0), place, right=True)
    count = bucket.bincount().to(scores.dtype)
    return torch.zeros_like(count).index_add(0, bucket, ordered) / count, count
