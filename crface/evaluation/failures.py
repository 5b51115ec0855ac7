"""What goes wrong at an operating point, and how much of it a better confidence could mend (paper 3.1).

A face that no detection at or above the threshold hits is missed. If one of the *candidates*, before threshold and
NMS, hits it, its box is there and only its confidence is at fault: *fixable*. Otherwise no box lies on it:
*unreachable*. (The paper: of 4,062 faces missed on WIDER FACE only 531 are unreachable, so that 87 % can be
fixed.) A hit is the protocol's, see `crface.evaluation.matching`: a face that has candidates at the IoU, all of
which overlap another face more, is unreachable.

A detection at or above the threshold either finds a face, is a *duplicate* (it hits a face that a higher score
finds), *misplaced* (its best overlap with a face is below the IoU, but at least 0.1), or *background*.
Detections that hit an ignored face are neither right nor wrong.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from jaxtyping import Bool, Float, Int, Int8

from crface.array_shapes import FaceMask
from crface.evaluation.matching import Detections, Faces, match

MISPLACED_IOU = 0.1
"""Below it a detection has nothing to do with a face."""


class FaceOutcome(IntEnum):
    """What became of a face."""

    IGNORED = 0
    FOUND = 1
    FIXABLE = 2
    """Missed, but a candidate hits it."""
    UNREACHABLE = 3
    """Missed, and no candidate hits it."""


class DetectionOutcome(IntEnum):
    """What a detection at or above the threshold is."""

    IGNORED = 0
    """It hits a face that does not count."""
    FINDS = 1
    DUPLICATE = 2
    MISPLACED = 3
    BACKGROUND = 4
    """Also in an image without faces, whose detections AP passes over."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Failures:
    """One row a face, and one a detection that reaches the threshold, image after image."""

    threshold: float
    iou: float
    face_image: Int[np.ndarray, " face"]
    face_number: Int[np.ndarray, " face"]
    """Its place in its image."""
    face_height_px: Float[np.ndarray, " face"]
    face_outcome: Int8[np.ndarray, " face"]
    """`FaceOutcome`."""
    face_score: Float[np.ndarray, " face"]
    """The highest score of a detection that hits it, above the threshold or not; NaN where none does."""
    face_candidate_score: Float[np.ndarray, " face"]
    """The highest confidence of a candidate that hits it; NaN where none does."""
    detection_image: Int[np.ndarray, " detection"]
    detection_number: Int[np.ndarray, " detection"]
    """Its place in its image's detections."""
    detection_score: Float[np.ndarray, " detection"]
    detection_outcome: Int8[np.ndarray, " detection"]
    """`DetectionOutcome`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FaceCounts:
    """What became of the faces of a group; ignored ones are not counted."""

    num_found: int
    num_fixable: int
    num_unreachable: int

    @property
    def num_faces(self) -> int:
        """All that count."""
        return self.num_found + self.num_missed

    @property
    def num_missed(self) -> int:
        """False negatives."""
        return self.num_fixable + self.num_unreachable


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectionCounts:
    """What the detections at or above the threshold are; those of ignored faces are not counted."""

    num_finding: int
    num_duplicates: int
    num_misplaced: int
    num_background: int

    @property
    def num_false_positives(self) -> int:
        """All mistakes."""
        return self.num_duplicates + self.num_misplaced + self.num_background


def find_failures(
    candidates: Detections,
    detections: Detections,
    faces: Faces,
    is_kept: Sequence[Bool[np.ndarray, " _"]],
    threshold: float,
    iou: float = 0.5,
) -> Failures:
    """The outcome of each face, and of each detection that reaches the threshold.

    All have one item an image: candidates and detections `x1 y1 x2 y2 score` in any order, faces
    `x1 y1 x2 y2`, and which of the faces count. `crface.evaluation.best_f1` gives a threshold.

    Raises ValueError where `match` does, if `is_kept` does not fit the faces, and if `iou` is not above
    MISPLACED_IOU.
    """
    if iou <= MISPLACED_IOU:
        raise ValueError(f"an IoU of {iou} leaves no misplaced boxes: it must be above {MISPLACED_IOU}")
    if [len(mask) for mask in is_kept] != [len(boxes) for boxes in faces]:
        raise ValueError("`is_kept` must have one mask an image, with one value a face")
    kept = np.concatenate([np.zeros(0, dtype=bool), *is_kept])
    hits, reachable = match(detections, faces, iou), match(candidates, faces, iou)
    best = _finder_scores(hits.scores, hits.finder)
    outcome = np.select(
        [~kept, best >= threshold, reachable.finder >= 0],  # a comparison with NaN is false
        [FaceOutcome.IGNORED, FaceOutcome.FOUND, FaceOutcome.FIXABLE],
        FaceOutcome.UNREACHABLE,
    )
    shown = np.flatnonzero(hits.scores >= threshold)
    return Failures(
        threshold=threshold,
        iou=iou,
        face_image=hits.face_image,
        face_number=_places(hits.num_faces),
        face_height_px=np.concatenate(
            [np.zeros(0), *((boxes[:, 3] - boxes[:, 1]).astype(np.float64) for boxes in faces)]
        ),
        face_outcome=outcome.astype(np.int8),
        face_score=best,
        face_candidate_score=_finder_scores(reachable.scores, reachable.finder),
        detection_image=hits.image[shown],
        detection_number=_places(hits.num_detections)[shown],
        detection_score=hits.scores[shown].astype(np.float64),
        detection_outcome=_detection_outcomes(
            hits.face, hits.finder, match(detections, faces, MISPLACED_IOU).face, kept
        )[shown],
    )


def _detection_outcomes(
    face: Int[np.ndarray, " detection"],
    finder: Int[np.ndarray, " face"],
    touched: Int[np.ndarray, " detection"],
    is_kept: FaceMask,
) -> Int8[np.ndarray, " detection"]:
    is_hit = face >= 0
    is_ignored = is_hit & ~np.append(is_kept, True)[face]  # -1, no face, is the last one
    finds = is_hit & (np.append(finder, -1)[face] == np.arange(len(face)))
    outcomes = np.select(
        [is_ignored, finds, is_hit, touched >= 0],
        [
            DetectionOutcome.IGNORED,
            DetectionOutcome.FINDS,
            DetectionOutcome.DUPLICATE,
            DetectionOutcome.MISPLACED,
        ],
        DetectionOutcome.BACKGROUND,
    )
    return outcomes.astype(np.int8)


def _finder_scores(
    scores: Float[np.ndarray, " detection"], finder: Int[np.ndarray, " face"]
) -> Float[np.ndarray, " face"]:
    found = finder >= 0
    best = np.full(len(finder), np.nan)
    best[found] = scores[finder[found]]
    return best


def _places(counts: Int[np.ndarray, " image"]) -> Int[np.ndarray, " item"]:
    """0, 1, ... within each image."""
    places: np.ndarray = np.arange(counts.sum()) - np.repeat(counts.cumsum() - counts, counts)
    return places
