"""One image's detections under two confidences, each box and face judged as the evaluation does."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from jaxtyping import Bool, Float32, Float64, Int8

from crface.detections import detected
from crface.evaluation.failures import find_failures
from crface.evaluation.matching import match
from crface.oracle import oracle_confidence
from pipeline.config.sections import EvaluateConfig

ABSENT: Final = -1
"""The outcome of a box that one side suppresses, and the other shows."""
UNJUDGED: Final = 5
"""The outcome of a box in an image whose faces are not known; 0 to 4 are those of `DetectionOutcome`."""

_DECIMALS = 5  # of every confidence here, so that the page and this package agree on who reaches a threshold


@dataclass(frozen=True, slots=True, eq=False)
class Faces:
    """One image's labelled faces."""

    boxes: Float64[np.ndarray, "face 4"]
    is_kept: Bool[np.ndarray, " face"]
    """Which of them count; the others are ignored."""


@dataclass(frozen=True, slots=True, eq=False)
class Side:
    """All of an image's boxes and faces under one confidence."""

    scores: Float64[np.ndarray, " box"]
    outcome: Int8[np.ndarray, " box"]
    """`DetectionOutcome`, ABSENT or UNJUDGED, if every score is high enough."""
    face_score: Float64[np.ndarray, " face"]
    """The score of the box that finds each face; NaN for none."""


@dataclass(frozen=True, slots=True, eq=False)
class JudgedImage:
    """The boxes that at least one of two confidences keeps, and what each side makes of them."""

    row: int
    boxes: Float32[np.ndarray, "box 4"]
    predicted: Float64[np.ndarray, " box"]
    refined: Float64[np.ndarray, " box"] | None
    """None without a ranker."""
    oracle: Float64[np.ndarray, " box"] | None
    """None where the faces are not known."""
    before: Side
    """By predicted confidence."""
    after: Side
    """By refined confidence; by the oracle's without a ranker."""
    faces: Faces
    is_reachable: Bool[np.ndarray, " face"]
    """Which faces some candidate hits, whatever its confidence."""


def judge_image(
    row: int,
    candidates: Float32[np.ndarray, "candidate 5"],
    refined: Float32[np.ndarray, " candidate"] | None,
    faces: Faces | None,
    config: EvaluateConfig,
) -> JudgedImage:
    """An image's candidates made into detections by both confidences, and judged; `faces` None: not known.

    Without a ranker and without faces, the side after has no box.
    """
    known = faces or Faces(np.zeros((0, 4)), np.zeros(0, dtype=bool))
    oracle = None if faces is None else _oracle(candidates, faces)
    second = refined if refined is not None else oracle
    kept_before = _detected(candidates, None, config)
    kept_after = kept_before[:0] if second is None else _detected(candidates, second, config)
    shown = np.union1d(kept_before, kept_after)
    scores = [candidates[:, 4], np.zeros(len(candidates), np.float32) if second is None else second]
    before, after = (
        _side(candidates, kept, score, shown, faces, config)
        for kept, score in zip((kept_before, kept_after), scores, strict=True)
    )
    reachable = match([candidates], [known.boxes], config.iou)
    return JudgedImage(
        row=row,
        boxes=candidates[shown, :4],
        predicted=before.scores,
        refined=None if refined is None else after.scores,
        oracle=None if oracle is None else _rounded(oracle[shown]),
        before=before,
        after=after,
        faces=known,
        is_reachable=reachable.finder >= 0,
    )


def _oracle(
    candidates: Float32[np.ndarray, "candidate 5"], faces: Faces
) -> Float32[np.ndarray, " candidate"]:
    boxes, labelled = torch.from_numpy(candidates[:, :4].copy()), faces.boxes.astype(np.float32)
    found: Float32[np.ndarray, " candidate"] = oracle_confidence(boxes, torch.from_numpy(labelled)).numpy()
    return found


def _detected(
    candidates: Float32[np.ndarray, "candidate 5"],
    scores: Float32[np.ndarray, " candidate"] | None,
    config: EvaluateConfig,
) -> np.ndarray:
    kept: np.ndarray = detected(
        torch.from_numpy(candidates.copy()),
        None if scores is None else torch.from_numpy(scores.copy()),
        score_threshold=config.score_threshold,
        nms_iou=config.nms_iou,
    ).numpy()
    return kept


def _side(
    candidates: Float32[np.ndarray, "candidate 5"],
    kept: np.ndarray,
    scores: Float32[np.ndarray, " candidate"],
    shown: np.ndarray,
    faces: Faces | None,
    config: EvaluateConfig,
) -> Side:
    outcome = np.full(len(shown), ABSENT, np.int8)
    place = np.searchsorted(shown, kept)
    rounded = _rounded(scores[shown])
    if faces is None:
        outcome[place] = UNJUDGED
        return Side(rounded, outcome, np.zeros(0))
    detections = np.column_stack([candidates[kept, :4], scores[kept]])
    found = find_failures([candidates[:0]], [detections], [faces.boxes], [faces.is_kept], -np.inf, config.iou)
    outcome[place] = found.detection_outcome
    return Side(rounded, outcome, np.round(found.face_score, _DECIMALS))


def _rounded(scores: Float32[np.ndarray, " box"]) -> Float64[np.ndarray, " box"]:
    return np.round(scores.astype(np.float64), _DECIMALS)
