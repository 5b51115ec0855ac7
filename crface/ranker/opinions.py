"""What other detectors say of a box: the columns that the `committee` ranker reads beside the candidates' own five."""

from collections.abc import Sequence
from typing import Final

import numpy as np
import torch
from jaxtyping import Float32

from crface.array_shapes import ScoredBoxes
from crface.boxes import iou
from crface.ranker.gate import logit_of

NUM_COLUMNS: Final = 3
"""Columns of one opinion: the logit of the most confident box on the same face, divided by 4; the highest IoU with any
box; and 1. All are 0 where the detector was not asked."""

SAME_FACE: Final = 0.4
"""IoU from which two detectors' boxes are of one face, as for NMS (paper 4.2)."""

LEAST_CONFIDENCE: Final = 0.02
"""A box up to it is no opinion, as it is no detection. Where there is none on a face, the opinion is that logit."""

_USUAL_LOGIT = 4.0
_BLOCK = 1024  # candidates compared at a time, so that 5000 with 5000 fit into 20 MB


def with_opinions(
    candidates: ScoredBoxes, opinions: Sequence[ScoredBoxes | None]
) -> Float32[np.ndarray, "box number"]:
    """Candidates with `NUM_COLUMNS` more columns for each opinion; None: that detector was not asked.

    `opinions` are other detectors' candidates of the same picture, in its pixels, as `candidates` are: rows
    `x1 y1 x2 y2 confidence`.
    """
    columns = [_said(candidates, opinion) for opinion in opinions]
    return np.concatenate([candidates, *columns], axis=1).astype(np.float32)


def num_columns(num_opinions: int) -> int:
    """Columns of candidates with that many opinions."""
    return 5 + NUM_COLUMNS * num_opinions


def _said(candidates: ScoredBoxes, opinion: ScoredBoxes | None) -> Float32[np.ndarray, "box 3"]:
    said = np.zeros((len(candidates), NUM_COLUMNS), np.float32)
    if opinion is None:
        return said
    least = float(logit_of(torch.tensor(LEAST_CONFIDENCE, dtype=torch.float64)))
    said[:] = (least / _USUAL_LOGIT, 0.0, 1.0)
    heard = torch.from_numpy(opinion[opinion[:, 4] > LEAST_CONFIDENCE])
    if len(heard) == 0:
        return said
    logit = logit_of(heard[:, 4])
    boxes = torch.from_numpy(np.ascontiguousarray(candidates[:, :4]))
    for start in range(0, len(boxes), _BLOCK):
        overlap = iou(boxes[start : start + _BLOCK], heard[:, :4])
        agreed = torch.where(overlap >= SAME_FACE, logit, least).amax(dim=1)
        said[start : start + _BLOCK, 0] = (agreed / _USUAL_LOGIT).numpy()
        said[start : start + _BLOCK, 1] = overlap.amax(dim=1).numpy()
    said[(candidates == 0).all(axis=1)] = 0  # padding
    return said
