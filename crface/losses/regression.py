"""Losses that ask each box alone for its oracle confidence: the paper's regressions, and one that weighs faces.

Paper: section 3.2 and Table 1, where all of them are worse than the detector, "because the regression losses
focus on bringing the confidence magnitude towards the oracle confidence, but the small regression error can
easily change the confidence order". The paper names them and no more; what is added here to make each of them
definite is said at each. All are means over the real boxes of the batch, 0 where there is none.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from crface.losses.targets import Scale, Targets
from crface.tensor_shapes import ScoreBatch

SMOOTH_L1_BETA = 1 / 9
"""Where Smooth L1 turns from a square into a line. At 1, PyTorch's default, it would be half of L2 for any two
confidences and no loss of its own; 1/9 is the value that detectors use for box offsets."""

EDGE = 0.01
"""How near to 0 and 1 a confidence's cross entropy is followed before it goes on as a straight line."""

FACE_OVERLAP = 0.5
"""Oracle confidence from which a box is one on a face: what the benchmark counts as found."""

_BACKGROUND_WEIGHT, _BACKGROUND_POWER = 0.75, 2.0


def cross_entropy(refined: ScoreBatch, targets: Targets, scale: Scale = "confidence") -> Float[Tensor, ""]:
    """Mean of `-o log c' - (1 - o) log(1 - c')`, the oracle confidence o being a soft label.

    With logits it is the binary cross entropy with logits, the "quality-aware" one: the minimum is at c' = o.
    Confidences of the paper's ranker can lie outside of 0..1, where there is no logarithm. A clip would stop
    their gradient for good, so below 0.01 and above 0.99 the loss goes on as a straight line of the slope that
    it has there.
    """
    return _mean(_entropy(refined, targets.oracle, scale), targets.is_box)


def l1(refined: ScoreBatch, targets: Targets, scale: Scale = "confidence") -> Float[Tensor, ""]:
    """Mean of |c' - o|."""
    return _mean((_confidence(refined, scale) - targets.oracle).abs(), targets.is_box)


def l2(refined: ScoreBatch, targets: Targets, scale: Scale = "confidence") -> Float[Tensor, ""]:
    """Mean of (c' - o)^2, read as the square without a factor of one half."""
    return _mean((_confidence(refined, scale) - targets.oracle).square(), targets.is_box)


def smooth_l1(refined: ScoreBatch, targets: Targets, scale: Scale = "confidence") -> Float[Tensor, ""]:
    """Mean of d^2 / (2 b) where d = |c' - o| is below b = 1/9, else of d - b / 2 (Girshick 2015)."""
    values = F.smooth_l1_loss(
        _confidence(refined, scale), targets.oracle, reduction="none", beta=SMOOTH_L1_BETA
    )
    return _mean(values, targets.is_box)


def varifocal(refined: ScoreBatch, targets: Targets, scale: Scale = "confidence") -> Float[Tensor, ""]:
    """Cross entropy that weighs a face by its IoU and background by how much it is trusted; 0 without boxes.

    With q = o for boxes on a face (o >= 0.5) and q = 0 for all others: a box on a face costs q times its cross
    entropy towards q, another one `0.75 p^2` times its own towards 0, where p is its confidence. The sum is
    divided by the sum of q over the batch, and by 1 at least. Zhang et al. 2021 (VarifocalNet), Eq. 2; the
    labels are the oracle's, over all boxes.
    """
    quality = targets.oracle * (targets.oracle >= FACE_OVERLAP)
    trust = _confidence(refined, scale).clamp(0, 1)
    weight = torch.where(quality > 0, quality, _BACKGROUND_WEIGHT * trust.pow(_BACKGROUND_POWER))
    values = weight * _entropy(refined, quality, scale)
    total = torch.where(targets.is_box, values, 0.0).sum()
    return total / (quality * targets.is_box).sum().clamp(min=1)


def _confidence(refined: Tensor, scale: Scale) -> Tensor:
    return refined.sigmoid() if scale == "logit" else refined


def _entropy(refined: Tensor, label: Tensor, scale: Scale) -> Tensor:
    if scale == "logit":
        return F.binary_cross_entropy_with_logits(refined, label, reduction="none")
    inside = refined.clamp(EDGE, 1 - EDGE)
    slope = (inside - label) / (inside * (1 - inside))
    return F.binary_cross_entropy(inside, label, reduction="none") + slope * (refined - inside)


def _mean(values: ScoreBatch, is_box: Bool[Tensor, "image box"]) -> Float[Tensor, ""]:
    # `where`, not a product: what stands in padding rows is nobody's business, not even if it is not finite
    return torch.where(is_box, values, 0.0).sum() / is_box.sum().clamp(min=1)
