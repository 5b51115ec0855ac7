"""AP from parts: what a block of whole images adds, so that any number of images fits into constant memory.

Two passes. The first finds the range of scores (`score_extremes` of each block, `joined_extremes` of all);
the second makes a `Tally` of each block, and tallies add, in any order and grouping, to the same numbers.

- *Official AP* needs proposals and found faces at 1000 thresholds: counts that add, always exact.
- *Exact AP* needs them at every different score. These are kept too, up to `max_scores` of them: 8 bytes and
  16 more a setting each. When there are more, scores that agree in all but their last bits are put together
  (as few bits as will do), and AP is then known to lie between bounds, `Tally.exact_ap_bounds`. How many bits
  are dropped depends on the set of all scores alone, so that order and grouping still change nothing.

Rejected: a merge of sorted runs, exact at any size, for it reads every score again from disk in score order;
equal bins, for the scores of a detector crowd at the ends.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int, UInt64

from crface.array_shapes import FaceMask
from crface.evaluation.curves import (
    Curve,
    average_precision,
    curve,
    ignored_and_found,
    official_counts,
    threshold_steps,
)
from crface.evaluation.matching import Detections, Hits, score_range
from crface.evaluation.widerface import Evaluation

_SIGN = np.uint64(1 << 63)

MAX_SCORES = 1 << 20
"""Different scores that a tally holds at most: 56 MiB for three settings."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class ScoreCounts:
    """How many proposals and found faces there are at each score, for every setting."""

    keys: UInt64[np.ndarray, " score"]
    """The scores as ordered whole numbers, ascending and different; see `_keys`."""
    proposals: Int[np.ndarray, "setting score"]
    found: Int[np.ndarray, "setting score"]
    dropped_bits: int
    """Low bits of the keys that are set to 0; 0 if scores are told apart as given."""
    max_scores: int


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Tally:
    """What images add to AP; `a + b` is the tally of both, `evaluation` what it comes to."""

    settings: tuple[str, ...]
    num_images: int
    num_kept: Int[np.ndarray, " setting"]
    """Faces that each setting keeps."""
    extremes: tuple[float, float]
    """Of the whole data set's scores, as `joined_extremes` gives them."""
    num_proposals: Int[np.ndarray, "setting threshold"]
    """At each official threshold."""
    num_found: Int[np.ndarray, "setting threshold"]
    counts: ScoreCounts

    def __add__(self, other: "Tally") -> "Tally":
        """Tally of the images of both.

        Raises ValueError if they differ in settings, extremes, thresholds, or `max_scores`.
        """
        for what, mine, theirs in (
            ("settings", self.settings, other.settings),
            ("extremes of the scores", self.extremes, other.extremes),
            ("numbers of thresholds", self.num_found.shape[1], other.num_found.shape[1]),
            ("max_scores", self.counts.max_scores, other.counts.max_scores),
        ):
            if mine != theirs:
                raise ValueError(f"tallies of different {what} do not add: {mine} and {theirs}")
        return Tally(
            settings=self.settings,
            num_images=self.num_images + other.num_images,
            num_kept=self.num_kept + other.num_kept,
            extremes=self.extremes,
            num_proposals=self.num_proposals + other.num_proposals,
            num_found=self.num_found + other.num_found,
            counts=_bounded(
                np.concatenate([self.counts.keys, other.counts.keys]),
                np.concatenate([self.counts.proposals, other.counts.proposals], axis=1),
                np.concatenate([self.counts.found, other.counts.found], axis=1),
                max(self.counts.dropped_bits, other.counts.dropped_bits),
                self.counts.max_scores,
            ),
        )

    def evaluation(self) -> Evaluation:
        """What `widerface_ap` says of the same images; exact AP and its curve only while no bits are dropped.

        With dropped bits, scores that agree in the others count as equal: exact AP is its lower bound.
        """
        curves = {setting: self._official(number) for number, setting in enumerate(self.settings)}
        exact_curves = {setting: self._exact(number) for number, setting in enumerate(self.settings)}
        return Evaluation(
            ap={setting: self._ap(setting, official) for setting, official in curves.items()},
            exact_ap={setting: self._ap(setting, exact) for setting, exact in exact_curves.items()},
            curves=curves,
            exact_curves=exact_curves,
            num_images=self.num_images,
            num_faces=dict(zip(self.settings, self.num_kept.tolist(), strict=True)),
        )

    def exact_ap_bounds(self) -> dict[str, tuple[float, float]]:
        """Between which values exact AP lies, per setting; equal while no bits are dropped.

        Among scores that were put together, the mistakes may all come first, which is as good as equal
        scores, or all found faces.
        """
        return {
            setting: (
                self._ap(setting, self._exact(number)),
                self._ap(setting, self._exact(number, is_best_case=self.counts.dropped_bits > 0)),
            )
            for number, setting in enumerate(self.settings)
        }

    def _ap(self, setting: str, its_curve: Curve) -> float:
        return average_precision(its_curve) if self.num_kept[self.settings.index(setting)] else float("nan")

    def _official(self, setting: int) -> Curve:
        lowest, highest = self.extremes if self.extremes[0] <= self.extremes[1] else (0.0, 1.0)
        thresholds = lowest + threshold_steps(self.num_found.shape[1]) * (highest - lowest)
        return curve(
            self.num_proposals[setting], self.num_found[setting], int(self.num_kept[setting]), thresholds
        )

    def _exact(self, setting: int, is_best_case: bool = False) -> Curve:
        proposals, found = (counts[setting, ::-1] for counts in (self.counts.proposals, self.counts.found))
        num_proposals = proposals.cumsum()
        if is_best_case:
            num_proposals = num_proposals - proposals + found
        rises = found > 0
        return curve(
            num_proposals[rises],
            found.cumsum()[rises],
            int(self.num_kept[setting]),
            _scores(self.counts.keys[::-1][rises]),
        )


def score_extremes(detections: Detections) -> tuple[float, float]:
    """Lowest score but at most 1, and highest but at least 0: (1, 0) without detections."""
    # an image without detections must not widen the range of the others, as its `score_range` would
    return joined_extremes(score_range(rows[:, 4]) for rows in detections if len(rows) > 0)


def joined_extremes(extremes: Iterable[tuple[float, float]]) -> tuple[float, float]:
    """The extremes of blocks together; (1, 0) of none."""
    lowest, highest = 1.0, 0.0
    for low, high in extremes:
        lowest, highest = min(lowest, low), max(highest, high)
    return lowest, highest


def tally(
    hits: Hits,
    kept: Mapping[str, FaceMask],
    extremes: tuple[float, float],
    num_thresholds: int = 1000,
    max_scores: int = MAX_SCORES,
) -> Tally:
    """Tally a block of whole images: `match` of it, and per setting one mask over all of its faces.

    `extremes` are those of the scores of the whole data set.

    Raises ValueError if a score of the block is beyond them.
    """
    if len(hits.scores) and not extremes[0] <= hits.scores.min() <= hits.scores.max() <= extremes[1]:
        raise ValueError(
            f"the block has scores {hits.scores.min():g} to {hits.scores.max():g}, beyond the extremes "
            f"{extremes[0]:g} to {extremes[1]:g} that were given for the whole data set"
        )
    steps = threshold_steps(num_thresholds)
    official = [official_counts(hits, is_kept, steps, extremes) for is_kept in kept.values()]
    keys = _keys(hits.ascending_scores)
    unique, all_proposals = np.unique(keys, return_counts=True)
    proposals, found = np.zeros((2, len(kept), len(unique)), dtype=np.int64)
    for setting, is_kept in enumerate(kept.values()):
        its_ignored, its_found = (
            np.bincount(np.searchsorted(unique, _keys(scores)), minlength=len(unique))
            for scores in ignored_and_found(hits, is_kept)
        )
        proposals[setting], found[setting] = all_proposals - its_ignored, its_found
    no_counts = np.zeros((0, num_thresholds), dtype=np.int64)
    return Tally(
        settings=tuple(kept),
        num_images=len(hits.num_faces),
        num_kept=np.array([int(is_kept.sum()) for is_kept in kept.values()], dtype=np.int64),
        extremes=extremes,
        num_proposals=np.array([counts for counts, _ in official]) if official else no_counts,
        num_found=np.array([counts for _, counts in official]) if official else no_counts,
        counts=_bounded(unique, proposals, found, 0, max_scores),
    )


def _bounded(
    keys: UInt64[np.ndarray, " any_score"],
    proposals: Int[np.ndarray, "setting any_score"],
    found: Int[np.ndarray, "setting any_score"],
    dropped_bits: int,
    max_scores: int,
) -> ScoreCounts:
    """Merge equal keys and, while there are too many, drop one low bit more.

    Keys that agree above a bit do so whatever other keys there are. So the bits that a set of keys must drop
    are never fewer than those of any part of it, and are the same whichever way its parts were added.
    """
    order = np.argsort(keys, kind="stable")
    keys, proposals, found = _cleared(keys[order], dropped_bits), proposals[:, order], found[:, order]
    changes = keys[1:] ^ keys[:-1]
    if np.count_nonzero(changes) >= max_scores:
        # with the bits of the max_scores-th greatest change gone, fewer changes than that are left
        largest_lost = int(np.partition(changes, len(changes) - max_scores)[len(changes) - max_scores])
        dropped_bits = largest_lost.bit_length()
        keys = _cleared(keys, dropped_bits)
    if len(keys):
        starts = np.flatnonzero(np.append(True, keys[1:] != keys[:-1]))
        keys, proposals, found = (
            keys[starts],
            np.add.reduceat(proposals, starts, axis=1),
            np.add.reduceat(found, starts, axis=1),
        )
    return ScoreCounts(
        keys=keys, proposals=proposals, found=found, dropped_bits=dropped_bits, max_scores=max_scores
    )


def _cleared(keys: UInt64[np.ndarray, " score"], bits: int) -> UInt64[np.ndarray, " score"]:
    cleared: np.ndarray = keys & np.uint64((1 << 64) - (1 << bits))
    return cleared


def _keys(scores: Float[np.ndarray, " score"]) -> UInt64[np.ndarray, " score"]:
    """The bits of double precision, changed so that they order as the scores do; both zeros are one."""
    bits = (scores.astype(np.float64) + 0.0).view(np.uint64)
    keys: np.ndarray = np.where(bits & _SIGN, ~bits, bits | _SIGN)
    return keys


def _scores(keys: UInt64[np.ndarray, " score"]) -> Float[np.ndarray, " score"]:
    bits = np.where(keys & _SIGN, keys ^ _SIGN, ~keys)
    scores: np.ndarray = bits.view(np.float64)
    return scores
