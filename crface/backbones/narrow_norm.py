"""Batch normalisation of maps with few channels, whose backward pass is quick on several threads of a CPU too."""

from math import gcd
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

_CACHE_LINE_CHANNELS = 16
_ROW = 1024
"""Numbers that are taken as one row: long enough for a step along it to be quick, and for threads to stay apart."""


def batch_norm(channels: int) -> nn.BatchNorm2d:
    """A batch norm, that of this module where it has fewer than 16 channels."""
    return (NarrowBatchNorm2d if channels < _CACHE_LINE_CHANNELS else nn.BatchNorm2d)(channels)


class NarrowBatchNorm2d(nn.BatchNorm2d):
    """A batch norm for few channels: PyTorch's numbers to a rounding, with its weights and keys.

    PyTorch adds up the gradients of channels-last maps in one row of sums for each thread. Where a row is shorter
    than a line of the processor's cache, threads write to the same line and wait for each other at every cell: with
    8 channels two threads take five times as long as one. Here some cells side by side count as more channels.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Maps of the same shape, `[image, channel, row, column]`."""
        if not self._is_learning_on_cpu(x):
            return super().forward(x)
        assert self.momentum is not None
        assert self.num_batches_tracked is not None
        self.num_batches_tracked.add_(1)
        running = (self.running_mean, self.running_var)
        normalised: Tensor = _Norm.apply(x, self.weight, self.bias, *running, self.momentum, self.eps)
        return normalised

    def _is_learning_on_cpu(self, x: Tensor) -> bool:
        is_plain = x.device.type == "cpu" and x.dtype == torch.float32
        is_turned = x.is_contiguous(memory_format=torch.channels_last)
        return self.training and is_plain and is_turned and not torch.compiler.is_compiling()


class _Norm(torch.autograd.Function):
    """PyTorch's own forward pass; its own sums in the backward pass, of cells side by side."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor,
        running_mean: Tensor,
        running_var: Tensor,
        momentum: float,
        eps: float,
    ) -> Tensor:
        normalised, mean, scale = torch.native_batch_norm(
            x, weight, bias, running_mean, running_var, True, momentum, eps
        )
        ctx.save_for_backward(x, weight, mean, scale)
        ctx.eps = eps
        return normalised

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, mean, scale = ctx.saved_tensors
        images, channels, height, width = x.shape
        cells = images * height * width
        together = gcd(cells, _ROW // channels)
        rows, gradient = (
            maps.contiguous(memory_format=torch.channels_last).permute(0, 2, 3, 1).reshape(-1, together * channels)
            for maps in (x, gradients[0])
        )  # fmt: skip
        _, of_weight, of_bias = torch.ops.aten.native_batch_norm_backward(
            _as_maps(gradient), _as_maps(rows), weight.repeat(together), None, None,
            mean.repeat(together), scale.repeat(together), True, ctx.eps, [False, True, True],
        )  # fmt: skip
        of_weight, of_bias = (sums.view(together, channels).sum(dim=0) for sums in (of_weight, of_bias))
        # weight * scale * (gradient - mean of gradients - normalised * mean of gradients times normalised)
        factor = weight * scale
        slope = -factor * scale * of_weight / cells
        start = -factor * of_bias / cells - slope * mean
        of_rows = torch.addcmul(start.repeat(together), rows, slope.repeat(together))
        of_rows.addcmul_(gradient, factor.repeat(together))
        of_x = of_rows.view(images, height, width, channels).permute(0, 3, 1, 2)
        return of_x, of_weight, of_bias, None, None, None, None


def _as_maps(rows: Tensor) -> Tensor:
    """Rows of numbers as one channels-last map, a channel for each column."""
    return rows[None, :, None].permute(0, 3, 1, 2)
