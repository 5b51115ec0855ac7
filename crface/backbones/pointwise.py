"""A 1 x 1 convolution that is fast on one thread of a CPU too."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Pointwise(nn.Conv2d):
    """A 1 x 1 convolution, on a CPU computed as the product of all cells with one matrix.

    The same numbers to a rounding, with the same weights. PyTorch gives a 1 x 1 convolution to oneDNN only where it
    has several threads, a stride or 16 images; elsewhere to a plain loop, which wants channels first, so that the
    maps are turned round before and after it. Cells that have their channels beside each other are the rows of a
    matrix as they lie.
    """

    def __init__(self, num_in: int, num_out: int, *, bias: bool = False) -> None:
        super().__init__(num_in, num_out, 1, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """Maps of the same height and width, `[image, channel, row, column]`."""
        if x.device.type != "cpu" or torch.onnx.is_in_onnx_export():
            return super().forward(x)
        cells = F.linear(x.permute(0, 2, 3, 1), self.weight.flatten(1), self.bias)
        return cells.permute(0, 3, 1, 2)
