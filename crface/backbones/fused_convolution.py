"""A convolution in one step with the batch norm, the sum and the activation that follow it."""

from typing import Final

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

_HAS_ONEDNN: Final = torch.backends.mkldnn.is_available() and hasattr(
    torch.ops.mkldnn, "_convolution_pointwise"
)


class FusedConvolution(nn.Module):
    """A convolution with the batch norm and the activation behind it, for values channels last.

    `norm` None or Identity: none. `slope` is what the activation, where there is one, leaves of negative values.
    """

    def __init__(self, conv: nn.Conv2d, norm: nn.Module | None = None, slope: float | None = None) -> None:
        super().__init__()
        assert isinstance(conv.padding, tuple)
        self.kernel, self.stride, self.padding = conv.kernel_size, conv.stride, conv.padding
        self._groups, self._slope = conv.groups, slope
        weight, bias = conv.weight.detach().double(), torch.zeros(conv.out_channels, dtype=torch.float64)
        if conv.bias is not None:
            bias = conv.bias.detach().double()
        if isinstance(norm, nn.BatchNorm2d):
            assert norm.running_mean is not None
            assert norm.running_var is not None
            factor = norm.weight.detach().double() / (norm.running_var.double() + norm.eps).sqrt()
            weight = weight * factor[:, None, None, None]
            bias = (bias - norm.running_mean.double()) * factor + norm.bias.detach().double()
        self.weight: Tensor
        self.bias: Tensor
        self.register_buffer("weight", weight.float().contiguous(memory_format=torch.channels_last))
        self.register_buffer("bias", bias.float())

    def forward(
        self,
        x: Float[Tensor, "1 channel row column"],
        plus: Tensor | None = None,
        row_padding: int | None = None,
    ) -> Float[Tensor, "1 _ _ _"]:
        """The values of the map; with `plus` added before the activation.

        `row_padding` is the number of rows of zeros above and below, if not the convolution's own.
        """
        padding = list(self.padding) if row_padding is None else [row_padding, self.padding[1]]
        layout = (self.weight, self.bias, padding, self.stride, (1, 1), self._groups)
        if not _HAS_ONEDNN:
            values = F.conv2d(x, self.weight, self.bias, self.stride, padding, 1, self._groups)
            values = values if plus is None else values + plus
            return values if self._slope is None else F.leaky_relu(values, self._slope, inplace=True)
        one_step = torch.ops.mkldnn._convolution_pointwise
        found: Tensor
        if plus is None:
            found = one_step(x, *layout, *_activation(self._slope))
        else:
            assert self._slope == 0
            found = one_step(x, plus, *layout, "add", None, "relu", [], "")
        return found


def _activation(slope: float | None) -> tuple[str, list[float], str]:
    if slope is None:
        return "none", [], ""
    return ("leaky_relu", [slope], "") if slope else ("relu", [], "")
