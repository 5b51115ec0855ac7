"""The judgement whether a detector works, from its answer to the golden picture."""

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from jaxtyping import Float

from detectors.base import MAX_CANDIDATES
from detectors.golden.answers import NUM_STORED, Answer, GoldenValues
from detectors.golden.picture import FACES_XYXY

Status = Literal["ok", "warn", "fail"]

_STORED_PX, _STORED_CONFIDENCE = 0.5, 0.01
"""How far an answer may be from the stored one: processors and GPUs round differently (TF32 keeps 10 bits), but a
swapped channel or a wrong mean changes a confidence by far more."""
_BATCH_PX, _BATCH_CONFIDENCE = 0.05, 1e-3
"""How far other images in the call may move an answer: no more than a different order of summation does."""
_CONFIDENT: Final = 0.5
_MIN_IOU = 0.3  # detectors differ in how much hair and chin they include in a face


@dataclass(frozen=True, slots=True)
class Finding:
    """The verdict on a detector."""

    status: Status
    found: str
    """What was found, in words."""
    advice: str = ""
    """What to do about the finding; empty if nothing."""


def judge(answer: Answer, golden: GoldenValues | None) -> Finding:
    """The worst finding about an answer, with the next step.

    Every detector must return at most 5000 finite rows, sorted, whatever other images are in the call; and if it
    is confident of anything in the picture, then of one of the faces drawn there. If values are stored, its best
    candidates must match them.
    """
    rows = answer.alone
    if rows.ndim != 2 or rows.shape[1] != 5 or len(rows) > MAX_CANDIDATES:
        return Finding(
            "fail",
            f"its candidates have the shape {list(rows.shape)}, not at most [{MAX_CANDIDATES}, 5]",
            "mend the detector: rows are x1 y1 x2 y2 confidence",
        )
    if not np.isfinite(rows).all():
        return Finding(
            "fail",
            "its candidates hold values that are not finite",
            "the weights are damaged or belong to another network: check them with `crface weights verify`",
        )
    if (np.diff(rows[:, 4]) > 0).any():
        return Finding(
            "fail",
            "its candidates are not sorted by confidence",
            "mend the detector: the highest confidence comes first",
        )
    best = rows[:NUM_STORED]
    moved = _num_without_match(best, answer.in_batch, _BATCH_PX, _BATCH_CONFIDENCE)
    if moved:
        return Finding(
            "fail",
            f"{moved} of its {len(best)} best candidates change when other images are in the call",
            "mend the detector: an image's candidates must not depend on its company",
        )
    if golden is not None:
        return _compared(best, rows, golden)
    return _unknown(rows)


def _compared(
    best: Float[np.ndarray, "_ 5"], rows: Float[np.ndarray, "_ 5"], golden: GoldenValues
) -> Finding:
    stored = golden.candidates
    away = _num_without_match(stored, rows, _STORED_PX, _STORED_CONFIDENCE)
    if away:
        first = f"{best[0, 4]:.3f}" if len(best) else "none"
        return Finding(
            "fail",
            f"{away} of the {len(stored)} candidates stored for these weights are not among its own (best "
            f"confidence {first}, stored {stored[0, 4]:.3f})",
            "this installation computes something else than where the weights were made: install the pinned "
            "versions (`make setup`), and report it if that does not help",
        )
    return Finding("ok", f"gives the {len(stored)} candidates stored for these weights")


def _unknown(rows: Float[np.ndarray, "_ 5"]) -> Finding:
    confident = rows[rows[:, 4] > _CONFIDENT]
    if len(confident) == 0:
        best = f"best confidence {rows[0, 4]:.3f}" if len(rows) else "no candidates"
        return Finding(
            "warn",
            f"keeps its promises, but sees neither face of a drawn picture ({best})",
            "weights that are trained see them as a rule: look at some photographs with `crface detect`",
        )
    found = sum(bool((_iou(confident, face) > _MIN_IOU).any()) for face in FACES_XYXY)
    if found == 0:
        return Finding(
            "fail",
            f"is confident of {len(confident)} boxes in a drawn picture, none of them on a face; the best is "
            f"{np.round(confident[0, :4], 1).tolist()}, the faces are {[list(face) for face in FACES_XYXY]}",
            "boxes must be x1 y1 x2 y2 in pixels of the image that was given: look for a scale, an offset, or "
            "shares of the image's size",
        )
    return Finding(
        "ok", f"keeps its promises, and finds {found} of 2 drawn faces (no values are stored for it)"
    )


def _num_without_match(
    wanted: Float[np.ndarray, "_ 5"], rows: np.ndarray, max_px: float, max_confidence: float
) -> int:
    """The number of rows without a close counterpart; order does not matter, as near equals may swap places."""
    if rows.ndim != 2 or rows.shape[1:] != (5,):
        return len(wanted)
    distance = np.abs(wanted[:, None] - rows[None])
    is_near = (distance[..., :4] <= max_px).all(axis=2) & (distance[..., 4] <= max_confidence)
    return int((~is_near.any(axis=1)).sum())


def _iou(rows: Float[np.ndarray, "n 5"], face: tuple[int, int, int, int]) -> Float[np.ndarray, " n"]:
    x1, y1, x2, y2 = rows[:, :4].T
    width = np.clip(np.minimum(x2, face[2]) - np.maximum(x1, face[0]), 0, None)
    height = np.clip(np.minimum(y2, face[3]) - np.maximum(y1, face[1]), 0, None)
    area = np.clip(x2 - x1, 0, None) * np.clip(y2 - y1, 0, None)
    both = width * height
    return np.asarray(both / (area + (face[2] - face[0]) * (face[3] - face[1]) - both))
