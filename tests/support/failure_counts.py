"""Failures at one operating point, counted outright: what the tallies of blocks must add up to."""

import numpy as np
from jaxtyping import Bool

from crface.evaluation.failures import DetectionCounts, DetectionOutcome, FaceCounts, FaceOutcome, Failures


def count_faces(failures: Failures, is_in_group: Bool[np.ndarray, " face"] | None = None) -> FaceCounts:
    """The faces of a group, of all if none is given, by their outcome."""
    outcomes = failures.face_outcome if is_in_group is None else failures.face_outcome[is_in_group]
    return FaceCounts(
        num_found=int((outcomes == FaceOutcome.FOUND).sum()),
        num_fixable=int((outcomes == FaceOutcome.FIXABLE).sum()),
        num_unreachable=int((outcomes == FaceOutcome.UNREACHABLE).sum()),
    )


def count_detections(failures: Failures) -> DetectionCounts:
    """The detections at or above the threshold by their outcome."""
    outcomes = failures.detection_outcome
    return DetectionCounts(
        num_finding=int((outcomes == DetectionOutcome.FINDS).sum()),
        num_duplicates=int((outcomes == DetectionOutcome.DUPLICATE).sum()),
        num_misplaced=int((outcomes == DetectionOutcome.MISPLACED).sum()),
        num_background=int((outcomes == DetectionOutcome.BACKGROUND).sum()),
    )
