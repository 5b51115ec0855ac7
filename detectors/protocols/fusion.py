"""Fusion: one set of boxes from the candidates of several views of an image."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from crface.array_shapes import ScoredBoxes
from detectors.base import MAX_CANDIDATES

FUSION_VERSION: Final = 1
"""Raised when a code change alters the result of fusion; part of its fingerprint."""

Method = Literal["box voting", "nms", "soft-nms"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fusion:
    """A fusion rule and its numbers; the defaults are the paper's (5.2) and those of RetinaFace's test.

    Raises ValueError for numbers out of range.
    """

    method: Method = "box voting"
    iou_threshold: float = 0.4
    """The IoU above which boxes count as one (box voting and nms)."""
    sigma: float = 0.5
    """The width of soft-nms's Gaussian."""
    min_confidence: float = 0.02
    """Candidates at or below this confidence take no part."""

    def __post_init__(self) -> None:
        if not 0 < self.iou_threshold < 1 or not self.sigma > 0 or not 0 < self.min_confidence < 1:
            raise ValueError(
                f"a fusion with iou_threshold = {self.iou_threshold}, sigma = {self.sigma}, min_confidence = "
                f"{self.min_confidence}: the first and last are between 0 and 1, sigma above 0"
            )

    @property
    def words(self) -> str:
        """The rule in words: `box voting 0.4 above 0.02`."""
        number = self.sigma if self.method == "soft-nms" else self.iou_threshold
        return f"{self.method} {number:g} above {self.min_confidence:g}"

    def as_parts(self) -> dict[str, str | float]:
        """Everything that decides the result of the fusion, as JSON values."""
        name = "sigma" if self.method == "soft-nms" else "iou_threshold"
        return {"method": self.method, name: getattr(self, name), "min_confidence": self.min_confidence}


def fuse(views: Sequence[ScoredBoxes], fusion: Fusion) -> ScoredBoxes:
    """Detections `x1 y1 x2 y2 confidence` from several views of one image, best first, at most 5000.

    The views' candidates are in pixels of the same image. Equal confidences keep the order of the views.
    """
    import torch  # and the import below: only fusing needs them, so that planning need not wait for torch

    from crface.boxes import box_voting, nms, soft_nms

    rows = torch.from_numpy(np.concatenate([*views, np.zeros((0, 5), np.float32)]))
    rows = rows[rows[:, 4] > fusion.min_confidence]
    boxes, confidences = rows[:, :4], rows[:, 4]
    if fusion.method == "box voting":
        boxes, confidences = box_voting(boxes, confidences, fusion.iou_threshold)
    elif fusion.method == "nms":
        kept = nms(boxes, confidences, fusion.iou_threshold)
        boxes, confidences = boxes[kept], confidences[kept]
    else:
        kept, confidences = soft_nms(boxes, confidences, fusion.sigma, fusion.min_confidence)
        boxes = boxes[kept]
    fused = torch.column_stack([boxes, confidences])[:MAX_CANDIDATES]
    return np.ascontiguousarray(fused.numpy())
