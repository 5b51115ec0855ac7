"""Boxes from rows of numbers, one per cell and anchor, for each of several strides."""

from collections.abc import Iterable
from typing import Annotated, Literal

import numpy as np
from jaxtyping import Float, Float32
from pydantic import Field, model_validator

from detectors.onnx_adapter.canvas import Pixels
from detectors.onnx_adapter.outputs import Canvases, Decoded, Outputs, cell_corners, rows
from detectors.onnx_adapter.section import Section
from detectors.plausible import Fault

Names = Annotated[tuple[str, ...], Field(min_length=1)]


class PerStride(Section):
    """For each stride an output with a row of four numbers, and one with a confidence, per cell and anchor.

    Boxes have one of two forms. `edges`: distances from the cell's point to the left, top, right and bottom
    edge, in cells (FCOS: Tian et al. 2019, section 3.1; SCRFD: Guo et al. 2021). `centre`: the box's centre
    x and y from the cell's point, in cells, with the logarithms of its width and height in cells (YOLOX: Ge
    et al. 2021; YuNet: Wu et al. 2023).
    """

    scheme: Literal["per-stride"]
    strides: Annotated[tuple[Pixels, ...], Field(min_length=1)]
    """Pixels per cell, one for each output in the lists of outputs."""
    anchors_per_cell: int = Field(1, ge=1, le=64)
    """Consecutive rows of one cell."""
    point: float = Field(0.0, ge=0.0, le=1.0)
    """Point of a cell from which its boxes are measured: 0 the top left corner, 0.5 the middle."""
    form: Literal["edges", "centre"]
    """Meaning of a box's four numbers: distances to the edges, or centre and logarithms of the sides."""
    boxes: Names
    """Outputs with the boxes' numbers, [batch, rows, 4] or [rows, 4]."""
    scores: Names
    """Outputs with the confidences in 0..1, [batch, rows, 1] or [rows, 1]."""
    objectness: tuple[str, ...] = ()
    """Outputs that the confidences are multiplied by; none: confidences are taken as they are."""

    @model_validator(mode="after")
    def _one_output_per_stride(self) -> "PerStride":
        for what, names in (
            ("boxes", self.boxes),
            ("scores", self.scores),
            ("objectness", self.objectness),
        ):
            if len(names) != len(self.strides) and (names or what != "objectness"):
                raise ValueError(
                    f"{len(self.strides)} strides need {len(self.strides)} {what}, not {len(names)}"
                )
        return self

    def remedies(self, faults: Iterable[Fault]) -> list[str]:
        """What boxes with these faults probably are, each with the key of the descriptor that mends it."""
        other = "edges" if self.form == "centre" else "centre"
        return [
            f'they are probably of the other form: write form = "{other}" in [decoding]'
            if fault != "fractions"
            else "the strides in [decoding] are probably those of another network"
            for fault in faults
        ]

    def output_names(self) -> tuple[str, ...]:
        """The outputs that are needed."""
        return *self.boxes, *self.scores, *self.objectness

    def decode(self, outputs: Outputs, canvases: Canvases) -> Decoded:
        """The boxes of all strides' rows, first stride first, in their order."""
        boxes, confidences = [], []
        for level, stride in enumerate(self.strides):
            points = cell_corners(canvases, stride) + np.float32(self.point * stride)
            points = np.repeat(points, self.anchors_per_cell, axis=0)
            why = f"{self.anchors_per_cell} per cell of {stride} px"
            numbers = rows(outputs, self.boxes[level], canvases, len(points), 4, why)
            scores = rows(outputs, self.scores[level], canvases, len(points), 1, why)
            if self.objectness:
                scores = scores * rows(outputs, self.objectness[level], canvases, len(points), 1, why)
            boxes.append(
                from_edges(points, numbers, stride)
                if self.form == "edges"
                else from_centre(points, numbers, stride)
            )
            confidences.append(scores[..., 0])
        return Decoded(np.concatenate(boxes, axis=1), np.concatenate(confidences, axis=1))


def from_edges(
    points: Float32[np.ndarray, "row 2"], distances: Float[np.ndarray, "canvas row 4"], stride: int
) -> Float32[np.ndarray, "canvas row 4"]:
    """Boxes xyxy in pixels from distances to the left, top, right and bottom, in cells."""
    distances = distances.astype(np.float32, copy=False) * np.float32(stride)
    return np.concatenate([points - distances[..., :2], points + distances[..., 2:]], axis=-1)


def from_centre(
    points: Float32[np.ndarray, "row 2"], numbers: Float[np.ndarray, "canvas row 4"], stride: int
) -> Float32[np.ndarray, "canvas row 4"]:
    """Boxes xyxy in pixels from shifts of the centre and logarithms of the sides, in cells."""
    numbers = numbers.astype(np.float32, copy=False)
    centres = points + numbers[..., :2] * np.float32(stride)
    halves = np.exp(numbers[..., 2:]) * np.float32(stride / 2)
    return np.concatenate([centres - halves, centres + halves], axis=-1)
