"""An image's candidates made into detections, under each confidence that the evaluation compares."""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from jaxtyping import Float, Float32, Float64
from torch import Tensor

from crface.array_shapes import ScoredBoxes
from crface.detections import detections_of
from crface.oracle import oracle_confidence
from pipeline.config.sections import EvaluateConfig
from pipeline.results.ap import Confidence


@dataclass(frozen=True, slots=True)
class Variant:
    """A confidence, and the candidates that it scores."""

    confidence: Confidence
    is_all: bool
    """Whether all stored candidates take part, or those whose detector's confidence is above the threshold."""

    def candidates(self, config: EvaluateConfig) -> str:
        """The words that stand for these candidates in the tables."""
        return "all" if self.is_all else f"above {config.score_threshold:g}"


PREDICTED: Final = Variant("predicted", is_all=False)
RANKED: Final = Variant("ranked", is_all=False)
ORACLE: Final = Variant("oracle", is_all=False)
ORACLE_ALL: Final = Variant("oracle", is_all=True)

_MISSES_TRIED: Final = 64


def image_detections(
    candidates: Float32[np.ndarray, "candidate 5"],
    refined: Float32[np.ndarray, " candidate"] | None,
    faces: Float64[np.ndarray, "face 4"],
    config: EvaluateConfig,
) -> dict[Variant, ScoredBoxes]:
    """Detections `x1 y1 x2 y2 score` of one image, best first, per variant; ranked only with `refined`.

    Each confidence orders the candidates itself before suppression; the detector's alone decides which are
    above the threshold, so that predicted and ranked choose from the same boxes. The oracle looks at all
    faces that are labelled, also those that a setting ignores (paper 3.1, 4.2).

    Of all candidates, the oracle's detections end with the first that overlaps no face. Thousands may follow, at the
    same score of 0: false alarms behind the last hit, which change no AP, official or exact. (The protocol's boxes,
    a pixel larger, can hit a face that they do not overlap only where that is less than two pixels wide or high.)
    """
    rows = torch.from_numpy(candidates.copy())
    oracle = oracle_confidence(rows[:, :4], torch.from_numpy(faces.astype(np.float32)))
    scores = {PREDICTED: rows[:, 4]}
    if refined is not None:
        scores[RANKED] = torch.from_numpy(refined.copy())
    scores[ORACLE] = oracle
    found = {
        variant: detections_of(
            rows, score, score_threshold=config.score_threshold, nms_iou=config.nms_iou
        ).numpy()
        for variant, score in scores.items()
    }
    return found | {ORACLE_ALL: _up_to_first_miss(rows, oracle, config.nms_iou).numpy()}


def _up_to_first_miss(
    candidates: Float[Tensor, "candidate 5"], oracle: Float[Tensor, " candidate"], nms_iou: float
) -> Float[Tensor, "detection 5"]:
    """All candidates' detections by the oracle, as far as the first whose score is 0.

    It is nearly always among the first candidates without a face, so the others are not compared with anything.
    """
    is_miss = oracle == 0
    num_misses = int(is_miss.sum())
    for num_tried in (_MISSES_TRIED, num_misses):
        tried = ~is_miss | (is_miss.cumsum(0) <= num_tried)
        found = detections_of(candidates[tried], oracle[tried], score_threshold=-math.inf, nms_iou=nms_iou)
        num_touching = int((found[:, 4] > 0).sum())
        if num_touching < len(found) or num_tried >= num_misses:
            break
    return found[: num_touching + 1]


def stored_detections(
    candidates: Float32[np.ndarray, "candidate 5"],
    refined: Float32[np.ndarray, " candidate"] | None,
    config: EvaluateConfig,
) -> ScoredBoxes:
    """Detections `x1 y1 x2 y2 score` of one image, best first: ranked with `refined`, else predicted.

    The same as `image_detections` gives for these, without the labels that its oracle needs.
    """
    detections: ScoredBoxes = detections_of(
        torch.from_numpy(candidates.copy()),
        None if refined is None else torch.from_numpy(refined.copy()),
        score_threshold=config.score_threshold,
        nms_iou=config.nms_iou,
    ).numpy()
    return detections
