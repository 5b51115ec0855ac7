"""Failures from parts: counts at each official threshold, which add over blocks of images (paper 3.1).

Where the operating point lies is only known when all images are counted. So each block is counted at all thresholds
of the official protocol, for every group of faces; the sums are read at the point in the end.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int, Int8

from crface.array_shapes import FaceMask
from crface.evaluation.curves import at_least, stretched, threshold_steps
from crface.evaluation.failures import DetectionCounts, DetectionOutcome, FaceCounts, FaceOutcome
from crface.evaluation.matching import Hits

Group = tuple[str, str]
"""What the faces are grouped by, and the value that those of the group have: ("blur", "heavy")."""

_COUNTED = (
    DetectionOutcome.FINDS,
    DetectionOutcome.DUPLICATE,
    DetectionOutcome.MISPLACED,
    DetectionOutcome.BACKGROUND,
)


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class FailureTally:
    """What became of faces and detections at each official threshold; `a + b` is the tally of both."""

    groups: tuple[Group, ...]
    extremes: tuple[float, float]
    """Lowest and highest score of the whole data set."""
    num_faces: Int[np.ndarray, " group"]
    """Those that count."""
    num_reachable: Int[np.ndarray, " group"]
    """Of these, the ones that a candidate hits."""
    num_found: Int[np.ndarray, "group threshold"]
    num_detections: Int[np.ndarray, "kind threshold"]
    """Finding a face, duplicates, misplaced, background."""

    def __add__(self, other: "FailureTally") -> "FailureTally":
        """Tally of the images of both.

        Raises ValueError if they differ in groups, extremes or thresholds.
        """
        mine, theirs = ((tally.groups, tally.extremes, tally.num_found.shape[1]) for tally in (self, other))
        if mine != theirs:
            raise ValueError("tallies of failures with other groups, extremes or thresholds do not add")
        return FailureTally(
            groups=self.groups,
            extremes=self.extremes,
            num_faces=self.num_faces + other.num_faces,
            num_reachable=self.num_reachable + other.num_reachable,
            num_found=self.num_found + other.num_found,
            num_detections=self.num_detections + other.num_detections,
        )

    def faces_at(self, threshold: int | None) -> dict[Group, FaceCounts]:
        """Counts of each group at a threshold, given by its place; None: where no detection counts."""
        found = np.zeros(len(self.groups), np.int64) if threshold is None else self.num_found[:, threshold]
        return {
            group: FaceCounts(
                num_found=int(found[number]),
                num_fixable=int(self.num_reachable[number] - found[number]),
                num_unreachable=int(self.num_faces[number] - self.num_reachable[number]),
            )
            for number, group in enumerate(self.groups)
        }

    def detections_at(self, threshold: int | None) -> DetectionCounts:
        """What the detections are that reach a threshold, given by its place; None: none does."""
        counts = [0] * len(_COUNTED) if threshold is None else self.num_detections[:, threshold].tolist()
        finding, duplicates, misplaced, background = counts
        return DetectionCounts(
            num_finding=finding,
            num_duplicates=duplicates,
            num_misplaced=misplaced,
            num_background=background,
        )


def tally_failures(
    hits: Hits,
    face_outcome: Int8[np.ndarray, " face"],
    detection_outcome: Int8[np.ndarray, " detection"],
    groups: Mapping[Group, FaceMask],
    extremes: tuple[float, float],
    num_thresholds: int = 1000,
) -> FailureTally:
    """Count failures at each official threshold: outcomes are those of `find_failures` without a threshold.

    `hits` are of the same detections, `extremes` those of the scores of the whole data set, and a group is a mask
    over all faces; in it, ignored faces count for nothing.
    """
    steps = threshold_steps(num_thresholds)
    is_found = face_outcome == FaceOutcome.FOUND
    is_kept = face_outcome != FaceOutcome.IGNORED
    is_reachable = is_found | (face_outcome == FaceOutcome.FIXABLE)

    def reaching(scores: Float[np.ndarray, " score"]) -> Int[np.ndarray, " threshold"]:
        return at_least(np.sort(stretched(scores, extremes)), steps)

    masks = list(groups.values())
    return FailureTally(
        groups=tuple(groups),
        extremes=extremes,
        num_faces=np.array([int((mask & is_kept).sum()) for mask in masks], np.int64),
        num_reachable=np.array([int((mask & is_reachable).sum()) for mask in masks], np.int64),
        num_found=np.array([reaching(hits.scores[hits.finder[mask & is_found]]) for mask in masks], np.int64),
        num_detections=np.array([reaching(hits.scores[detection_outcome == kind]) for kind in _COUNTED]),
    )
