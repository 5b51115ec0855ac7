"""ResNet with bottleneck blocks (He et al. 2016, table 1): maps C2 to C5 at strides 4, 8, 16 and 32.

`resnet50()` has torchvision's key names and shapes without the classifier, so ImageNet weights and the `body.` of
the published RetinaFace-ResNet-50 load as they are.
"""

from typing import ClassVar

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from crface.backbones.blocks import Bottleneck, bottlenecks, initialise
from crface.backbones.narrow_norm import batch_norm

_PLANES = (64, 128, 256, 512)
_LEVELS = (2, 3, 4, 5)


class ResNet(nn.Module):
    """The maps C_l from `finest_level` to 5, finest first: C_l has stride 2^l, ceil(s / 2^l) cells a side.

    `channels` are the depths of these maps. The levels are named as in FPN (Lin et al. 2017, section 3).
    """

    classifier_keys: ClassVar[tuple[str, ...]] = ("fc.",)
    """How the names begin that only the ImageNet classifier has."""

    def __init__(self, width: float, blocks: tuple[int, int, int, int], finest_level: int) -> None:
        super().__init__()
        planes = [round(width * count) for count in _PLANES]
        depths = [count * Bottleneck.EXPANSION for count in planes]
        self.finest_level = finest_level
        self.channels = tuple(depths[finest_level - _LEVELS[0] :])
        self.conv1 = nn.Conv2d(3, planes[0], 7, stride=2, padding=3, bias=False)
        self.bn1 = batch_norm(planes[0])
        self.layer1 = bottlenecks(planes[0], planes[0], blocks[0])
        self.layer2 = bottlenecks(depths[0], planes[1], blocks[1], stride=2)
        self.layer3 = bottlenecks(depths[1], planes[2], blocks[2], stride=2)
        self.layer4 = bottlenecks(depths[2], planes[3], blocks[3], stride=2)
        initialise(self)

    def forward(self, x: Float[Tensor, "batch 3 height width"]) -> list[Float[Tensor, "batch _ _ _"]]:
        """The maps, finest first, for images of any height and width from one pixel."""
        x = F.relu(self.bn1(self.conv1(x)), inplace=True)
        x = F.max_pool2d(x, 3, stride=2, padding=1)
        maps = []
        for layer in (self.layer1, self.layer2, self.layer3, self.layer4):
            x = layer(x)
            maps.append(x)
        return maps[self.finest_level - _LEVELS[0] :]


def resnet(
    width: float = 1.0, blocks: tuple[int, int, int, int] = (3, 4, 6, 3), finest_level: int = 2
) -> ResNet:
    """A trunk with random weights: `width` multiplies all channels, `blocks` counts each stage's blocks.

    `finest_level` is the first map given: 2 for C2..C5 (HAMBox), 3 for C3..C5 (RetinaFace, the ranker). It does
    not change the weights. `width=0.125` is a slim trunk of 0.38 million parameters.

    Raises ValueError for a width that leaves a layer without channels, a stage without blocks, and for a level
    outside 2..5.
    """
    if not width * _PLANES[0] >= 1:
        raise ValueError(f"a ResNet of width {width} has no channels: the width must be at least 1/64")
    if len(blocks) != len(_PLANES) or min(blocks) < 1:
        raise ValueError(f"a ResNet has four stages of at least one block each, not {blocks}")
    if finest_level not in _LEVELS:
        raise ValueError(f"a ResNet gives the levels 2 to 5: it cannot begin with level {finest_level}")
    return ResNet(width, blocks, finest_level)


def resnet50(finest_level: int = 2) -> ResNet:
    """The ResNet-50 trunk with random weights: 23,508,032 parameters, maps of 256 to 2048 channels.

    `finest_level` is the first map given, as in `resnet`.
    """
    return resnet(finest_level=finest_level)
