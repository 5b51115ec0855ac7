"""Detections from candidates, as the paper's protocol makes them: threshold, order, suppression (section 4.2).

The evaluation, the choice of a ranker's best state, single pictures and timings all call this one function, so
that a ranker is chosen by exactly what it is judged by.
"""

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from crface.boxes import nms


def detections_of(
    candidates: Float[Tensor, "candidate 5"],
    scores: Float[Tensor, " candidate"] | None = None,
    *,
    score_threshold: float,
    nms_iou: float,
) -> Float[Tensor, "detection 5"]:
    """Detections `x1 y1 x2 y2 score` after suppression, best first; empty if no candidate is above the threshold.

    `candidates` are rows `x1 y1 x2 y2 confidence`. `scores`, in the same order, replace the detector's
    confidence in the result and decide who suppresses whom: equal scores keep the order of the candidates, and
    a box is suppressed when its IoU with a better one that is kept is above `nms_iou`. The detector's
    confidence alone decides which candidates take part, those above `score_threshold` (`-inf`: all), so that
    different scores choose from the same boxes. Paper: section 4.2.
    """
    kept = detected(candidates, scores, score_threshold=score_threshold, nms_iou=nms_iou)
    order = candidates[:, 4] if scores is None else scores
    return torch.column_stack([candidates[kept, :4], order[kept]])


def detected(
    candidates: Float[Tensor, "candidate 5"],
    scores: Float[Tensor, " candidate"] | None = None,
    *,
    score_threshold: float,
    nms_iou: float,
) -> Int64[Tensor, " detection"]:
    """The places among the candidates of what `detections_of` gives, best first."""
    above = torch.nonzero(candidates[:, 4] > score_threshold)[:, 0]
    order = (candidates[:, 4] if scores is None else scores)[above]
    return above[nms(candidates[above, :4], order, nms_iou)]
