"""A row of convolutions computed band by band: the same numbers, with only bands of the maps between them in memory."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from crface.backbones.fused_convolution import FusedConvolution

_BAND_VALUES = 3 << 19
"""Numbers of the first convolution's input taken at a time (6 MiB): with fewer, starting each step costs too much."""


class Streamed(nn.Module):
    """Convolutions one after another, each of which takes a band of rows at a time and remembers what it still needs.

    The maps between them are the largest of a network. Whole, those of a large picture would be fetched from the
    system page by page, and given back, one after the other. The result is that of the whole picture, bit for bit:
    each row is computed once, from the same rows.
    """

    def __init__(self, convolutions: Sequence[FusedConvolution]) -> None:
        super().__init__()
        self._convolutions = list(convolutions)

    def forward(self, x: Tensor) -> Tensor:
        """The last convolution's map of one picture `[1, channel, row, column]`."""
        height = x.shape[2]
        step = max(1, _BAND_VALUES // (x.shape[1] * x.shape[3]))
        if height <= 2 * step:
            for convolution in self._convolutions:
                x = convolution(x)
            return x
        bands = [_Rows(convolution) for convolution in self._convolutions]
        num_rows = height
        for band in bands:
            num_rows = band.count(num_rows + 2 * band.padding)
        whole, done = x.new_empty(0), 0
        for start in range(0, height, step):
            rows: Tensor | None = x[:, :, start : start + step]
            for band in bands:
                rows = band.push(rows, is_last=start + step >= height)
            if rows is None:
                continue
            if done == 0:
                size = (1, rows.shape[1], num_rows, rows.shape[3])
                whole = torch.empty(size, memory_format=torch.channels_last)
            whole[:, :, done : done + rows.shape[2]] = rows
            done += rows.shape[2]
        return whole


class _Rows:
    """The rows that a convolution still needs of those that it was given."""

    def __init__(self, convolution: FusedConvolution) -> None:
        self._convolution = convolution
        self._kernel, self._stride, self.padding = (
            side[0] for side in (convolution.kernel, convolution.stride, convolution.padding)
        )
        self._kept: list[Tensor] = []
        self._is_first = True

    def count(self, num_rows: int) -> int:
        """How many rows of the result there are for this number of rows, padding among them."""
        return max(0, (num_rows - self._kernel) // self._stride + 1)

    def push(self, rows: Tensor | None, is_last: bool) -> Tensor | None:
        """All rows of the result that can be computed with more `rows`; None if these are none."""
        parts = self._kept if rows is None else [*self._kept, rows]
        if not parts:
            return None
        border = parts[0].new_zeros((*parts[0].shape[:2], self.padding, parts[0].shape[3]))
        parts = [*([border] if self._is_first else []), *parts, *([border] if is_last else [])]
        self._is_first = False
        parts = [part for part in parts if part.shape[2]]
        if not parts:
            return None
        # joined in the order in which they lie in memory, which takes a fifth of the time
        seen = torch.cat([part.permute(0, 2, 3, 1) for part in parts], dim=1).permute(0, 3, 1, 2)
        count = self.count(seen.shape[2])
        self._kept = [seen[:, :, count * self._stride :]]
        if count == 0:
            return None
        used = seen[:, :, : (count - 1) * self._stride + self._kernel]
        found: Tensor = self._convolution(used, row_padding=0)
        return found
