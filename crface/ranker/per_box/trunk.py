"""Picture features for the per-box ranker: a light RetinaFace without its heads.

Backbone, feature pyramid and context modules are those of RetinaFace (Deng et al. 2019), with the key names of
its published PyTorch checkpoints, so a training can begin from weights that know faces (`crface.ranker.start`).
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from crface.backbones import mobilenet_v1

CHANNELS = 64
"""Of each of the three maps."""

STRIDES = (8, 16, 32)
"""Pixels between two cells of each map."""

_WIDTH = 0.25
_LEAKY_SLOPE = 0.1


class Trunk(nn.Module):
    """Give three maps of 64 channels at strides 8, 16 and 32, each with context of 3, 5 and 7 cells."""

    def __init__(self) -> None:
        super().__init__()
        self.body = mobilenet_v1(_WIDTH)
        self.fpn = _Pyramid(self.body.channels)
        self.ssh1, self.ssh2, self.ssh3 = _Context(), _Context(), _Context()

    def forward(
        self, images: Float[Tensor, "image 3 height width"]
    ) -> list[Float[Tensor, "image channel _ _"]]:
        """Give the maps, finest first; a side of s pixels has ceil(s / stride) cells."""
        levels = self.fpn(self.body(images))
        return [ssh(level) for ssh, level in zip((self.ssh1, self.ssh2, self.ssh3), levels, strict=True)]


class _Pyramid(nn.Module):
    """Lateral 1 x 1 convolutions, coarser maps added from above, 3 x 3 merges (Lin et al. 2017)."""

    def __init__(self, depths: tuple[int, int, int]) -> None:
        super().__init__()
        self.output1, self.output2, self.output3 = (_conv(depth, CHANNELS, kernel=1) for depth in depths)
        self.merge1, self.merge2 = _conv(CHANNELS, CHANNELS), _conv(CHANNELS, CHANNELS)

    def forward(self, levels: list[Tensor]) -> list[Tensor]:
        fine, middle, coarse = self.output1(levels[0]), self.output2(levels[1]), self.output3(levels[2])
        middle = self.merge2(middle + F.interpolate(coarse, size=middle.shape[-2:], mode="nearest"))
        fine = self.merge1(fine + F.interpolate(middle, size=fine.shape[-2:], mode="nearest"))
        return [fine, middle, coarse]


class _Context(nn.Module):
    """The context module of SSH (Najibi et al. 2017, section 3.2); the attribute names are the checkpoints'."""

    def __init__(self) -> None:
        super().__init__()
        half, quarter = CHANNELS // 2, CHANNELS // 4
        self.conv3X3 = _conv(CHANNELS, half, is_activated=False)
        self.conv5X5_1 = _conv(CHANNELS, quarter)
        self.conv5X5_2 = _conv(quarter, quarter, is_activated=False)
        self.conv7X7_2 = _conv(quarter, quarter)
        self.conv7x7_3 = _conv(quarter, quarter, is_activated=False)

    def forward(self, x: Tensor) -> Tensor:
        shared = self.conv5X5_1(x)
        parts = [self.conv3X3(x), self.conv5X5_2(shared), self.conv7x7_3(self.conv7X7_2(shared))]
        return F.relu(torch.cat(parts, dim=1))


def _conv(num_in: int, num_out: int, kernel: int = 3, is_activated: bool = True) -> nn.Sequential:
    layers: list[nn.Module] = [
        nn.Conv2d(num_in, num_out, kernel, padding=kernel // 2, bias=False),
        nn.BatchNorm2d(num_out),
    ]
    if is_activated:
        layers.append(nn.LeakyReLU(_LEAKY_SLOPE, inplace=True))
    return nn.Sequential(*layers)
