"""Whether confidences mean what they say, and whether they order boxes as the oracle would (paper 3.1, Figure 4).

Two different questions. *Calibration*: among the boxes of confidence 0.8, are 80 % right, or is their mean overlap
0.8? AP does not ask; a threshold does. *Rank correlation* with oracle confidence inside an image: what NMS asks,
and what the ranking loss is trained towards.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Reliability:
    """A reliability diagram: what confidences say, and what they turn out to be, in bins of equal width."""

    edges: Float[np.ndarray, " bin_and_end"]
    """From 0 to 1. A bin holds `lower < confidence <= upper`, the first also 0."""
    count: Int[np.ndarray, " bin"]
    mean_confidence: Float[np.ndarray, " bin"]
    """NaN in an empty bin, as the next."""
    mean_target: Float[np.ndarray, " bin"]

    @property
    def expected_error(self) -> float:
        """ECE: the mean over all boxes of the gap of their bin, 0..1; NaN without boxes. (Guo et al. 2017, eq. 3)"""
        if self.count.sum() == 0:
            return float("nan")
        gap = np.abs(np.nan_to_num(self.mean_confidence) - np.nan_to_num(self.mean_target))
        return float((self.count * gap).sum() / self.count.sum())

    @property
    def largest_error(self) -> float:
        """MCE: the largest gap of a bin that is not empty, 0..1; NaN without boxes. (Guo et al. 2017, eq. 5)"""
        gap = np.abs(self.mean_confidence - self.mean_target)[self.count > 0]
        return float(gap.max()) if len(gap) else float("nan")

    def __add__(self, other: "Reliability") -> "Reliability":
        """The diagram of the boxes of both; to rounding the same whichever way parts are added.

        Raises ValueError if the bins differ.
        """
        if not np.array_equal(self.edges, other.edges):
            raise ValueError("diagrams with other bins do not add")
        count = self.count + other.count
        divisor = np.where(count > 0, count, np.nan)

        def mean(
            mine: Float[np.ndarray, " bin"], theirs: Float[np.ndarray, " bin"]
        ) -> Float[np.ndarray, " bin"]:
            total = self.count * np.nan_to_num(mine) + other.count * np.nan_to_num(theirs)
            both: np.ndarray = total / divisor
            return both

        return Reliability(
            edges=self.edges,
            count=count,
            mean_confidence=mean(self.mean_confidence, other.mean_confidence),
            mean_target=mean(self.mean_target, other.mean_target),
        )


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class RankCorrelation:
    """How far confidences order each image's boxes as the oracle does: 1 alike, 0 unrelated, -1 reversed."""

    kendall: Float[np.ndarray, " image"]
    """Tau-b. NaN, as the next, where all confidences or all oracle confidences are equal: nothing to order."""
    spearman: Float[np.ndarray, " image"]

    @property
    def num_images(self) -> int:
        """Images that have a value."""
        return int((~np.isnan(self.kendall)).sum())

    @property
    def mean_kendall(self) -> float:
        """Over the images that have a value, each with the same weight however many boxes it has; NaN of none."""
        return _mean(self.kendall)

    @property
    def mean_spearman(self) -> float:
        """As `mean_kendall`."""
        return _mean(self.spearman)


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class CalibrationTally:
    """Both answers for a block of images; `a + b` are those of both, to rounding whichever way parts are added."""

    hit: Reliability
    """Against whether a box is right."""
    overlap: Reliability
    """Against its oracle confidence."""
    num_images: int
    """Images that have a rank correlation."""
    kendall: float
    """Sum over these images, as the next."""
    spearman: float

    def __add__(self, other: "CalibrationTally") -> "CalibrationTally":
        return CalibrationTally(
            hit=self.hit + other.hit,
            overlap=self.overlap + other.overlap,
            num_images=self.num_images + other.num_images,
            kendall=self.kendall + other.kendall,
            spearman=self.spearman + other.spearman,
        )

    @property
    def mean_kendall(self) -> float:
        """Each image with the same weight; NaN without an image that has a value."""
        return self.kendall / self.num_images if self.num_images else float("nan")

    @property
    def mean_spearman(self) -> float:
        """As `mean_kendall`."""
        return self.spearman / self.num_images if self.num_images else float("nan")


def reliability(
    confidence: Float[np.ndarray, " box"], target: Float[np.ndarray, " box"], num_bins: int = 10
) -> Reliability:
    """Compare confidences with what they should have been, in 0..1.

    `target` is 1 for a right box and 0 for a wrong one, or each box's oracle confidence.

    Raises ValueError if a confidence or target is not within 0..1.
    """
    for what, values in (("confidence", confidence), ("target", target)):
        if not ((values >= 0) & (values <= 1)).all():
            bad = values[~((values >= 0) & (values <= 1))][0]
            raise ValueError(f"a {what} of {bad:g} is no probability: all must be within 0..1")
    edges = np.arange(num_bins + 1) / num_bins
    place = np.maximum(np.searchsorted(edges, confidence, side="left") - 1, 0)
    count = np.bincount(place, minlength=num_bins)
    divisor = np.where(count > 0, count, np.nan)
    return Reliability(
        edges=edges,
        count=count,
        mean_confidence=np.bincount(place, confidence, num_bins) / divisor,
        mean_target=np.bincount(place, target, num_bins) / divisor,
    )


def rank_correlation(
    confidence: Sequence[Float[np.ndarray, " _"]], oracle: Sequence[Float[np.ndarray, " _"]]
) -> RankCorrelation:
    """Kendall's tau-b and Spearman's rho of confidences with oracle confidences, image by image.

    Both have one array an image, with one value a box, in the same order.
    """
    pairs = [_correlations(*values) for values in zip(confidence, oracle, strict=True)]
    both = np.array(pairs, dtype=np.float64).reshape(-1, 2)
    return RankCorrelation(kendall=both[:, 0], spearman=both[:, 1])


def _correlations(
    confidence: Float[np.ndarray, " box"], oracle: Float[np.ndarray, " box"]
) -> tuple[float, float]:
    if len(confidence) == 0 or np.ptp(confidence) == 0 or np.ptp(oracle) == 0:
        return np.nan, np.nan
    import scipy.stats  # half a second, which those who only read what was measured do not wait for

    # ranks once for both. The p-value is not asked for: take the quick one, but it divides by zero for two boxes
    ranks = scipy.stats.rankdata(confidence), scipy.stats.rankdata(oracle)
    kendall = scipy.stats.kendalltau(*ranks, method="exact" if len(oracle) == 2 else "asymptotic").statistic
    return float(kendall), float(np.corrcoef(*ranks)[0, 1])


def _mean(values: Float[np.ndarray, " image"]) -> float:
    values = values[~np.isnan(values)]
    return float(values.mean()) if len(values) else float("nan")
