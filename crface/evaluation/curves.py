"""Precision and recall against the score, and the area under them (paper 4.1).

A setting keeps some faces and ignores the others: hits of an ignored face count for nothing, all other
detections in images with faces are *proposals*, and a kept face is *found* at every threshold up to the
highest score of its hits (its other hits stay proposals: mistakes). So at a threshold

    precision = faces found / proposals        recall = faces found / faces kept
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from crface.array_shapes import FaceMask
from crface.evaluation.matching import Hits


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """Precision and recall at falling thresholds of the score."""

    precision: Float[np.ndarray, " threshold"]
    """0..1, as measured (before the envelope); 0 where nothing is proposed."""
    recall: Float[np.ndarray, " threshold"]
    """0..1, never falling; NaN where no face is kept."""
    thresholds: Float[np.ndarray, " threshold"]
    """In the unit of the scores that were given; detections with at least this score count."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatingPoint:
    """One threshold, and what it gives."""

    threshold: float
    """Detections with at least this score count; infinity where none does."""
    precision: float
    recall: float

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall; 0 if both are 0."""
        both = self.precision + self.recall
        return 2 * self.precision * self.recall / both if both > 0 else 0.0


def official_curve(hits: Hits, is_kept: FaceMask, num_thresholds: int = 1000) -> Curve:
    """The curve at thresholds `1 - t / num_thresholds`, t = 1..num_thresholds, of scores stretched to 0..1.

    They are stretched by the lowest and the highest score of the whole data set. Scores that crowd share few
    thresholds, so a change of scores that leaves their order alone may move AP by points.
    """
    steps = threshold_steps(num_thresholds)
    num_proposals, num_found = official_counts(hits, is_kept, steps, hits.score_range)
    lowest, highest = hits.score_range
    thresholds = lowest + steps * (highest - lowest)
    return curve(num_proposals, num_found, int(is_kept.sum()), thresholds)


def exact_curve(hits: Hits, is_kept: FaceMask) -> Curve:
    """The curve with every score a threshold, at the points where recall rises; empty if no face is found."""
    ignored, found = ignored_and_found(hits, is_kept)
    ascending, num_there = np.unique(found, return_counts=True)
    thresholds = ascending[::-1].astype(np.float64)
    num_proposals = at_least(hits.ascending_scores, thresholds) - at_least(np.sort(ignored), thresholds)
    return curve(num_proposals, num_there[::-1].cumsum(), int(is_kept.sum()), thresholds)


def average_precision(curve: Curve) -> float:
    """Area under the curve, precision raised to the best at equal or higher recall; 0 for an empty curve.

    Recall that no threshold reaches has precision 0. NaN if no face is kept and the curve not empty.
    """
    envelope = np.maximum.accumulate(curve.precision[::-1])[::-1]
    return float(np.sum(np.diff(curve.recall, prepend=0.0) * envelope))


def best_threshold(curve: Curve) -> int | None:
    """The place of the threshold with the highest F1, of equals the first; None if nothing is found at any."""
    recall = np.nan_to_num(curve.recall)
    both = curve.precision + recall
    f1 = 2 * curve.precision * recall / np.where(both > 0, both, 1)
    return int(np.argmax(f1)) if len(f1) and f1.max() > 0 else None


def best_f1(curve: Curve) -> OperatingPoint:
    """The point of the curve with the highest F1, of equal ones the one with the highest threshold.

    On an exact curve it is the best of all thresholds: between its points precision only falls. An empty
    curve, or one without recall, gives the point where nothing counts.
    """
    best = best_threshold(curve)
    if best is None:
        return OperatingPoint(threshold=float("inf"), precision=0.0, recall=0.0)
    return OperatingPoint(
        threshold=float(curve.thresholds[best]),
        precision=float(curve.precision[best]),
        recall=float(curve.recall[best]),
    )


def official_counts(
    hits: Hits,
    is_kept: FaceMask,
    steps: Float[np.ndarray, " threshold"],
    score_range: tuple[float, float],
) -> tuple[Int[np.ndarray, " threshold"], Int[np.ndarray, " threshold"]]:
    """Proposals and found faces at each threshold of the scores stretched from `score_range` to 0..1."""
    ignored, found = ignored_and_found(hits, is_kept)
    num_all, num_ignored, num_found = (
        at_least(stretched(ascending, score_range), steps)
        for ascending in (hits.ascending_scores, np.sort(ignored), np.sort(found))
    )
    return num_all - num_ignored, num_found


def threshold_steps(num_thresholds: int) -> Float[np.ndarray, " threshold"]:
    """The official thresholds of stretched scores, highest first: the first below 1, the last exactly 0."""
    steps: np.ndarray = 1 - np.arange(1, num_thresholds + 1) / num_thresholds
    return steps


def stretched(
    scores: Float[np.ndarray, " score"], score_range: tuple[float, float]
) -> Float[np.ndarray, " score"]:
    """The scores mapped linearly so that the range becomes 0..1; all 1 if the range is a single value."""
    lowest, highest = score_range
    if highest == lowest:
        return np.ones(len(scores))
    return (scores.astype(np.float64) - lowest) / (highest - lowest)


def at_least(
    ascending: Float[np.ndarray, " score"], thresholds: Float[np.ndarray, " threshold"]
) -> Int[np.ndarray, " threshold"]:
    """How many of the ascending scores reach each threshold."""
    return len(ascending) - np.searchsorted(ascending, thresholds, side="left")


def ignored_and_found(
    hits: Hits, is_kept: FaceMask
) -> tuple[Float[np.ndarray, " ignored"], Float[np.ndarray, " found"]]:
    """Scores of the detections that hit an ignored face, and the score at which each found face is found."""
    hitting = np.flatnonzero(hits.face >= 0)
    ignored = hitting[~is_kept[hits.face[hitting]]]
    return hits.scores[ignored], hits.scores[hits.finder[is_kept & (hits.finder >= 0)]]


def curve(
    num_proposals: Int[np.ndarray, " threshold"],
    num_found: Int[np.ndarray, " threshold"],
    num_kept: int,
    thresholds: Float[np.ndarray, " threshold"],
) -> Curve:
    """Precision and recall from the counts at each threshold."""
    recall = num_found / num_kept if num_kept else np.full(len(num_found), np.nan)
    return Curve(num_found / np.maximum(num_proposals, 1), recall, thresholds)
