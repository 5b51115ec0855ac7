"""The layers that anchor networks are put together from; their key names are those of the published RetinaFace."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_FACE_PROBABILITY = 0.01  # what the class heads answer everywhere at the start of training


def slope_of(channels: int) -> float:
    """Give the slope of the leaky activations of a module: wide modules of the published networks do not leak."""
    return 0.1 if channels <= 64 else 0.0


def conv(num_in: int, num_out: int, slope: float | None, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    """Make a convolution with batch normalisation, ceil(side / stride) cells; without activation for None."""
    layers: list[nn.Module] = [
        nn.Conv2d(num_in, num_out, kernel, stride, padding=kernel // 2, bias=False),
        nn.BatchNorm2d(num_out),
    ]
    if slope is not None:
        layers.append(nn.LeakyReLU(slope, inplace=True))
    return nn.Sequential(*layers)


def resized(x: Tensor, like: Tensor) -> Tensor:
    """Give `x` at the height and width of `like`, by the nearest cell."""
    return F.interpolate(x, size=like.shape[-2:], mode="nearest")


class Context(nn.Module):
    """The context module of SSH (Najibi et al. 2017, section 3.2): fields of 3, 5 and 7 cells, joined."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        half, quarter, slope = channels // 2, channels // 4, slope_of(channels)
        self.conv3X3 = conv(channels, half, None)
        self.conv5X5_1 = conv(channels, quarter, slope)
        self.conv5X5_2 = conv(quarter, quarter, None)
        self.conv7X7_2 = conv(quarter, quarter, slope)
        self.conv7x7_3 = conv(quarter, quarter, None)

    def forward(self, x: Tensor) -> Tensor:
        """Give a map of the same shape."""
        shared = self.conv5X5_1(x)
        parts = [self.conv3X3(x), self.conv5X5_2(shared), self.conv7x7_3(self.conv7X7_2(shared))]
        return F.relu(torch.cat(parts, dim=1))


class Head(nn.Module):
    """One 1 x 1 convolution that gives `num_values` for each prior, rows in the order of the priors."""

    def __init__(self, channels: int, priors_per_cell: int, num_values: int) -> None:
        super().__init__()
        self._num_values = num_values
        self.conv1x1 = nn.Conv2d(channels, priors_per_cell * num_values, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Give `[batch, prior, num_values]`."""
        cells: Tensor = self.conv1x1(x)
        return cells.permute(0, 2, 3, 1).reshape(len(x), -1, self._num_values)


def initialise(network: nn.Module, class_heads: nn.ModuleList, other_heads: list[nn.ModuleList]) -> None:
    """Draw random weights from the global generator: a calm start in which nothing is a face.

    Class heads give (not face, face) for each prior.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, a=0.1, mode="fan_out" if module.groups == 1 else "fan_in")
    for head in (head for heads in (class_heads, *other_heads) for head in heads.modules()):
        if isinstance(head, nn.Conv2d) and head.bias is not None:
            nn.init.normal_(head.weight, std=0.01)
            nn.init.zeros_(head.bias)
    # A start where everything is a face would drown the first hundred steps in the loss of the negatives.
    for head in class_heads.modules():
        if isinstance(head, nn.Conv2d) and head.bias is not None:
            with torch.no_grad():
                head.bias[0::2] = math.log((1 - _FACE_PROBABILITY) / _FACE_PROBABILITY)
