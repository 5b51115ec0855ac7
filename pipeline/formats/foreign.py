"""Detections of a program that ran elsewhere: boxes by image, and what in its files cannot be read."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from jaxtyping import Float32, Float64

from crface.array_shapes import ScoredBoxes

ROUNDING: Final = 1e-3
"""By how much a score may exceed 1, as after arithmetic in reduced precision; it then counts as 1."""

_LEAST_PERCENT: Final = 10  # a detector's best scores are beyond; what is below may be a logit


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class ForeignResults:
    """The boxes of every image in the results; the data set may lack some of these images."""

    source: Path
    boxes: Mapping[str, ScoredBoxes]
    """By image name as the results have it: rows `x1 y1 x2 y2 confidence`, best first."""
    bad: tuple[str, ...]
    """Where and why something cannot be read; nothing may be used unless this is empty."""
    unknown: tuple[str, ...] = ()
    """Results of images that the data set lacks, where the reader knows it; they are not in `boxes`."""
    can_name_empty: bool
    """Whether the format can name an image without detections; COCO's cannot."""


def candidate_rows(boxes_xywh: Float64[np.ndarray, "n 5"]) -> Float32[np.ndarray, "n 5"]:
    """Candidates of rows `x y w h score`, best first; equal scores keep their order, scores above 1 become 1."""
    rows = boxes_xywh[np.argsort(-boxes_xywh[:, 4], kind="stable")]
    scores = np.minimum(rows[:, 4:], 1)
    return np.concatenate([rows[:, :2], rows[:, :2] + rows[:, 2:4], scores], axis=1).astype(np.float32)


def complaint(values: Float64[np.ndarray, "5"]) -> str:
    """Why one row `x y w h score` cannot be a detection; empty if it can."""
    if not np.isfinite(values).all():
        return "a number that is not finite"
    if (values[2:4] < 0).any():
        return "a negative width or height; x y w h is wanted, not a centre or two corners"
    return score_complaint(values[4:])


def score_complaint(scores: Float64[np.ndarray, " _"]) -> str:
    """Why scores cannot be confidences, 0 to 1 with `ROUNDING` above; empty if they can."""
    beyond = scores[(scores < 0) | (scores > 1 + ROUNDING)]
    if len(beyond) == 0:
        return ""
    count = "a score of" if len(scores) == 1 else f"{len(beyond)} scores as"
    is_percent = _LEAST_PERCENT <= beyond.max() <= 100 and beyond.min() >= 0
    hint = "; these look like percent: divide all scores by 100" if is_percent else ""
    return f"{count} {beyond[0]:g}; confidences are 0 to 1{hint}"
