"""How confidences are distributed, and how far they keep the oracle's order (paper Figure 4)."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Float, Int

from crface.evaluation.calibration import rank_correlation

NUM_BINS: Final = 40
"""Bins of confidence, of equal width over 0..1."""

PLACES: Final = np.linspace(0, 1, 51)
"""Shares of an image's boxes, best first, at which the order is looked at."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class OrderTally:
    """Sums over images; `a + b` are those of both."""

    count: Int[np.ndarray, " bin"]
    """Boxes in each bin of confidence; those outside of 0..1 count in the bin nearest to them."""
    overlap: Float[np.ndarray, " place"]
    """Sum over images with boxes, at each of PLACES, of the mean oracle confidence of the boxes taken so far."""
    num_images: int
    """Images with boxes."""
    kendall: float
    """Sum of Kendall's tau with the oracle over the images that have one."""
    num_ordered: int
    """Images that have a tau: neither all confidences nor all oracle confidences are equal."""

    def __add__(self, other: "OrderTally") -> "OrderTally":
        return OrderTally(
            count=self.count + other.count,
            overlap=self.overlap + other.overlap,
            num_images=self.num_images + other.num_images,
            kendall=self.kendall + other.kendall,
            num_ordered=self.num_ordered + other.num_ordered,
        )

    @property
    def share(self) -> Float[np.ndarray, " bin"]:
        """The share of boxes in each bin; zeros without boxes."""
        return self.count / max(1, int(self.count.sum()))

    @property
    def mean_overlap(self) -> Float[np.ndarray, " place"]:
        """The mean over images; NaN without one."""
        divisor = self.num_images or np.nan
        return self.overlap / divisor

    @property
    def mean_kendall(self) -> float:
        """The mean over images that have a tau; NaN without one."""
        return self.kendall / self.num_ordered if self.num_ordered else float("nan")


def order_tally(confidence: Float[np.ndarray, " box"], oracle: Float[np.ndarray, " box"]) -> OrderTally:
    """The tally of one image's boxes."""
    tau = rank_correlation([confidence], [oracle]).mean_kendall
    return OrderTally(
        count=np.histogram(np.clip(confidence, 0, 1), NUM_BINS, (0.0, 1.0))[0],
        overlap=_overlap(confidence, oracle),
        num_images=int(len(confidence) > 0),
        kendall=0.0 if np.isnan(tau) else tau,
        num_ordered=int(not np.isnan(tau)),
    )


def summed(tallies: Iterable[OrderTally]) -> OrderTally:
    """The tally of all images; that of none is empty."""
    none = np.zeros(0)
    return sum(tallies, start=order_tally(none, none))


def _overlap(
    confidence: Float[np.ndarray, " box"], oracle: Float[np.ndarray, " box"]
) -> Float[np.ndarray, " place"]:
    """Mean oracle confidence of the best boxes up to each of PLACES; zeros without boxes."""
    if len(confidence) == 0:
        return np.zeros(len(PLACES))
    numbers = np.arange(1, len(confidence) + 1)
    means = np.cumsum(oracle[np.argsort(-confidence, kind="stable")], dtype=np.float64) / numbers
    return np.interp(PLACES * len(confidence), numbers, means)
