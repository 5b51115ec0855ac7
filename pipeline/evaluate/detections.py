"""An image's candidates made into detections, under each confidence that the evaluation compares."""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from jaxtyping import Float32, Float64

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
    """
    rows = torch.from_numpy(candidates.copy())
    oracle = oracle_confidence(rows[:, :4], torch.from_numpy(faces.astype(np.float32)))
    scores = {PREDICTED: rows[:, 4]}
    if refined is not None:
        scores[RANKED] = torch.from_numpy(refined.copy())
    scores |= {ORACLE: oracle, ORACLE_ALL: oracle}
    return {
        variant: detections_of(
            rows,
            score,
            score_threshold=-math.inf if variant.is_all else config.score_threshold,
            nms_iou=config.nms_iou,
        ).numpy()
        for variant, score in scores.items()
    }


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
