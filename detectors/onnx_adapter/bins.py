"""Boxes from distributions over distance bins (generalised focal loss: Li et al. 2020, section 3.2; YOLOv8)."""

from typing import Annotated, Literal

import numpy as np
from pydantic import Field, model_validator

from detectors.onnx_adapter.canvas import Pixels
from detectors.onnx_adapter.outputs import Canvases, Decoded, Outputs, cell_corners, maps, sigmoid
from detectors.onnx_adapter.per_stride import Names, from_edges
from detectors.onnx_adapter.section import Section


class Bins(Section):
    """For each stride one map [batch, channels, rows, columns]: bins, then the face's logit, then others.

    The first `4 * num_bins` channels are logits of the distance from the cell's middle to the left, top,
    right and bottom edge being 0, 1, 2, ... cells; the distance is the mean of that distribution. The
    next channel is the logit of the confidence; further channels (landmarks) are not read.
    """

    scheme: Literal["bins"]
    strides: Annotated[tuple[Pixels, ...], Field(min_length=1)]
    """Pixels per cell, one for each output."""
    outputs: Names
    """The maps, one for each stride."""
    num_bins: int = Field(16, ge=2, le=256)
    """Bins of one distance."""
    num_channels: int = Field(ge=9)
    """Channels of a map."""

    @model_validator(mode="after")
    def _maps_hold_boxes_and_confidence(self) -> "Bins":
        if len(self.outputs) != len(self.strides):
            raise ValueError(f"{len(self.strides)} strides need as many outputs, not {len(self.outputs)}")
        if self.num_channels < 4 * self.num_bins + 1:
            raise ValueError(f"4 x {self.num_bins} bins and a confidence need more channels")
        return self

    def output_names(self) -> tuple[str, ...]:
        """The outputs that are needed."""
        return self.outputs

    def decode(self, outputs: Outputs, canvases: Canvases) -> Decoded:
        """One box per cell, first stride first, row by row."""
        boxes, confidences = [], []
        for name, stride in zip(self.outputs, self.strides, strict=True):
            found = maps(outputs, name, canvases, self.num_channels, stride)
            logits = found[:, : 4 * self.num_bins].reshape(canvases.number, 4, self.num_bins, -1)
            weights = np.exp(logits - logits.max(axis=2, keepdims=True))
            steps = np.arange(self.num_bins, dtype=np.float32)[:, None]
            distances = (weights * steps).sum(axis=2) / weights.sum(axis=2)
            points = cell_corners(canvases, stride) + np.float32(stride / 2)
            boxes.append(from_edges(points, distances.swapaxes(1, 2), stride))
            confidences.append(sigmoid(found[:, 4 * self.num_bins].reshape(canvases.number, -1)))
        return Decoded(np.concatenate(boxes, axis=1), np.concatenate(confidences, axis=1))
