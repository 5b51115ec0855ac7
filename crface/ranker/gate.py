"""What stands between a ranker and its user: how much of a refinement is used, and what its confidences mean.

A ranker may do harm, so a share of its refinement is chosen on pictures that it was not trained on, and nothing of it
is used where that shows no gain (`pipeline.train.gating`). The confidences that result are then mapped to the
probability that a detection is right.
"""

from collections.abc import Sequence

import numpy as np
import scipy.optimize
import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

UNCALIBRATED = (1.0, 1.0, 0.0)
"""The calibration that changes nothing."""

LARGEST_LOGIT = 6.0
"""Calibrated confidences are bent to stay within 0.0025 and 0.9975. Official AP has thresholds evenly spaced over the
range of scores, and would not part those beyond."""

SMALLEST = 2.0**-24
"""Confidences are kept this far from 0 and 1 for a logit: 1 minus it is the largest single-precision number below 1."""

_LEAST_SLOPE = 0.05  # keeps every order


class Gate(nn.Module):
    """The share of a refinement that is used, 0..1, and the calibration of the result.

    Calibration is the map of Kull et al. 2017 (beta calibration): `logit q = a log p - b log(1 - p) + c` with a, b
    above 0, and then a bend (LARGEST_LOGIT), which keep every order; a = b = 1 and c = 0 change nothing. With a share
    of 0 confidences are the detector's own, bit for bit, and are not calibrated.
    """

    def __init__(self, share: float = 1.0, calibration: Sequence[float] = UNCALIBRATED) -> None:
        super().__init__()
        self.share: Tensor
        self.calibration: Tensor
        self.register_buffer("share", torch.tensor(share, dtype=torch.float32))
        self.register_buffer("calibration", torch.tensor(tuple(calibration), dtype=torch.float32))

    def forward(
        self, predicted: Float[Tensor, "*box"], refined: Float[Tensor, "*box"], trust: float = 1.0
    ) -> Float[Tensor, "*box"]:
        """Confidences to use, in 0..1, from the detector's and the whole refinement.

        `share` and then `trust` are weights between logits: of the two confidences, and of the detector's and the
        calibrated one. Where both are 1 and nothing is calibrated, the refinement is returned as it is.
        """
        share = float(self.share)
        if share * trust == 0:
            return predicted
        is_calibrated = self.calibration.tolist() != list(UNCALIBRATED)
        if share == 1 and trust == 1 and not is_calibrated:
            return refined
        own = logit_of(predicted)
        logit = torch.lerp(own, logit_of(refined), share)
        if is_calibrated:
            slope_up, slope_down, offset = self.calibration.to(logit.dtype)
            # log p and log(1 - p) from the logit, without a rounding of p near 1
            log_p, log_not_p = -nn.functional.softplus(-logit), -nn.functional.softplus(logit)
            logit = slope_up * log_p - slope_down * log_not_p + offset
            logit = LARGEST_LOGIT * torch.tanh(logit / LARGEST_LOGIT)
        return torch.lerp(own, logit, trust).sigmoid()


def logit_of(confidence: Float[Tensor, "*box"]) -> Float[Tensor, "*box"]:
    """log(c / (1 - c)), within +-16.6, so that confidences of exactly 0 and 1 can still be moved."""
    inside = confidence.clamp(SMALLEST, 1 - SMALLEST)
    return inside.log() - (1 - inside).log()


def fitted_calibration(
    confidence: Float[np.ndarray, " box"], is_right: Bool[np.ndarray, " box"]
) -> tuple[float, float, float]:
    """a, b and c of the beta calibration with the highest likelihood; (1, 1, 0) unless there are right and wrong boxes.

    A ridge towards changing nothing, worth one box, keeps them finite where right and wrong boxes do not overlap.
    """
    if is_right.all() or not is_right.any():
        return UNCALIBRATED
    inside = np.clip(confidence.astype(np.float64), SMALLEST, 1 - SMALLEST)
    features = np.stack([np.log(inside), -np.log1p(-inside), np.ones(len(inside))])
    sign = np.where(is_right, 1.0, -1.0)
    start = np.array(UNCALIBRATED)

    def cost(weights: np.ndarray) -> tuple[float, np.ndarray]:
        margin = sign * (weights @ features)
        wrongness = sign / (1 + np.exp(np.clip(margin, -500, 500)))
        apart = weights - start
        return (
            float(np.logaddexp(0, -margin).sum() + (apart**2).sum() / 2),
            apart - features @ wrongness,
        )

    bounds = [(_LEAST_SLOPE, None), (_LEAST_SLOPE, None), (None, None)]
    found = scipy.optimize.minimize(cost, start, jac=True, method="L-BFGS-B", bounds=bounds)
    return float(found.x[0]), float(found.x[1]), float(found.x[2])
