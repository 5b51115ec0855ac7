"""Boxes from an anchor-free heat map of face centres (CenterFace: Xu et al. 2019, section 3; after CenterNet)."""

from typing import Literal

import numpy as np

from detectors.onnx_adapter.canvas import Pixels
from detectors.onnx_adapter.outputs import Canvases, Decoded, Outputs, cell_corners, maps
from detectors.onnx_adapter.section import Section


class CentreMap(Section):
    """Maps whose every cell is a candidate: the probability of a face's centre, its place in the cell, its size.

    The maps are [batch, channels, rows, columns]. Every cell is kept, not only the peaks of the map:
    suppression is left to NMS.
    """

    scheme: Literal["centre-map"]
    stride: Pixels
    """Pixels per cell."""
    heat: str
    """Output of one channel: the probability in 0..1."""
    size: str
    """Output of two channels: the logarithms of height and of width, in cells."""
    offset: str
    """Output of two channels: the centre's y and x, in cells, from the middle of the cell."""

    def output_names(self) -> tuple[str, ...]:
        """The outputs that are needed."""
        return self.heat, self.size, self.offset

    def decode(self, outputs: Outputs, canvases: Canvases) -> Decoded:
        """One box per cell, row by row."""
        heat, size, offset = (
            maps(outputs, name, canvases, channels, self.stride).reshape(canvases.number, channels, -1)
            for name, channels in ((self.heat, 1), (self.size, 2), (self.offset, 2))
        )
        corners = cell_corners(canvases, self.stride)
        centres = corners + (offset[:, ::-1].swapaxes(1, 2) + 0.5) * self.stride
        halves = np.exp(size[:, ::-1].swapaxes(1, 2)) * (self.stride / 2)
        return Decoded(
            np.concatenate([centres - halves, centres + halves], axis=-1).astype(np.float32, copy=False),
            heat[:, 0],
        )
