"""Layers on top of a trunk, for detectors and rankers; their key names are those of the published RetinaFace."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from crface.backbones.narrow_norm import batch_norm
from crface.backbones.pointwise import Pointwise


def slope_of(channels: int) -> float:
    """Slope of the leaky activations of a module: wide modules of the published networks do not leak."""
    return 0.1 if channels <= 64 else 0.0


def conv(num_in: int, num_out: int, slope: float | None, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    """A convolution with batch normalisation, ceil(side / stride) cells; without activation for None."""
    is_pointwise = kernel == stride == 1
    layers: list[nn.Module] = [
        Pointwise(num_in, num_out)
        if is_pointwise
        else nn.Conv2d(num_in, num_out, kernel, stride, padding=kernel // 2, bias=False),
        batch_norm(num_out),
    ]
    if slope is not None:
        layers.append(nn.LeakyReLU(slope, inplace=True))
    return nn.Sequential(*layers)


def resized(x: Tensor, like: Tensor) -> Tensor:
    """`x` at the height and width of `like`, by the nearest cell."""
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
        """A map of the same shape."""
        shared = self.conv5X5_1(x)
        parts = [self.conv3X3(x), self.conv5X5_2(shared), self.conv7x7_3(self.conv7X7_2(shared))]
        # Before they are joined: the gradient of a part is then an array of its own. As a slice of the whole, it
        # took a batch norm ten times as long.
        return torch.cat([F.relu(part, inplace=True) for part in parts], dim=1)


class FeaturePyramid(nn.Module):
    """Lateral 1 x 1 convolutions, coarser maps added from above, 3 x 3 merges (Lin et al. 2017)."""

    def __init__(self, channels: tuple[int, ...], num_out: int) -> None:
        super().__init__()
        slope = slope_of(num_out)
        self.output1 = conv(channels[0], num_out, slope, kernel=1)
        self.output2 = conv(channels[1], num_out, slope, kernel=1)
        self.output3 = conv(channels[2], num_out, slope, kernel=1)
        self.merge1 = conv(num_out, num_out, slope)
        self.merge2 = conv(num_out, num_out, slope)

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        """Three maps of `num_out` channels, finest first, of the same sizes as `maps`."""
        fine, middle, coarse = self.output1(maps[0]), self.output2(maps[1]), self.output3(maps[2])
        middle = self.merge2(resized(coarse, like=middle).add_(middle))
        fine = self.merge1(resized(middle, like=fine).add_(fine))
        return [fine, middle, coarse]
