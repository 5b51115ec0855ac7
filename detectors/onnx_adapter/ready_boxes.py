"""Boxes that the network has decoded itself, its priors inside."""

from typing import Literal

import numpy as np
from pydantic import Field

from detectors.onnx_adapter.outputs import Canvases, Decoded, Outputs
from detectors.onnx_adapter.section import Section


class ReadyBoxes(Section):
    """Rows with a finished box and a confidence, in two outputs or as columns of the same one.

    An output is [batch, rows, columns], or [rows, columns] for one image. A network that itself left boxes
    out by their score or by NMS works, but the low scores that a ranker needs are then lost.
    """

    scheme: Literal["boxes"]
    boxes: str
    """Output with the boxes, x1 y1 x2 y2."""
    box_column: int = Field(0, ge=0)
    """Its column with x1."""
    scores: str
    """Output with the confidences in 0..1."""
    score_column: int = Field(ge=0)
    """Its column with the confidence of a face."""
    unit: Literal["pixels", "fraction"]
    """What the boxes are measured in: pixels of the network's input, or parts of its width and height."""

    def output_names(self) -> tuple[str, ...]:
        """Name the outputs that are needed."""
        return self.boxes, self.scores

    def decode(self, outputs: Outputs, canvases: Canvases) -> Decoded:
        """Take the boxes and confidences out of their columns, in the order of the rows."""
        boxes = _columns(outputs, self.boxes, canvases, self.box_column, 4)
        confidences = _columns(outputs, self.scores, canvases, self.score_column, 1)[..., 0]
        if boxes.shape[:2] != confidences.shape:
            raise ValueError(
                f"its outputs {self.boxes} and {self.scores} have {boxes.shape[1]} boxes and "
                f"{confidences.shape[1]} confidences: the descriptor describes another network"
            )
        if self.unit == "fraction":
            boxes = boxes * np.array([canvases.width, canvases.height] * 2, np.float32)
        return Decoded(boxes.astype(np.float32, copy=False), confidences.astype(np.float32, copy=False))


def _columns(outputs: Outputs, name: str, canvases: Canvases, first: int, number: int) -> np.ndarray:
    found = outputs[name]
    if found.ndim == 2 and canvases.number == 1:
        found = found[None]
    if found.ndim != 3 or len(found) != canvases.number or found.shape[2] < first + number:
        raise ValueError(
            f"its output {name} has shape {list(outputs[name].shape)} where [{canvases.number}, rows, at "
            f"least {first + number} columns] was expected: the descriptor describes another network"
        )
    return found[..., first : first + number]
