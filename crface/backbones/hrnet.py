"""HRNet (Wang et al. 2019, "Deep High-Resolution Representation Learning for Visual Recognition", section 3).

Branches at strides 4, 8, 16 and 32 run side by side from the first to the last stage and exchange what they have
again and again, so that the finest map has seen everything without ever having been small. The key names are those
of the official ImageNet checkpoints (HRNet-Wx-C), which load as they are.
"""

from typing import ClassVar

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from crface.backbones.blocks import BasicBlock, Bottleneck, bottlenecks, conv3x3, initialise
from crface.backbones.narrow_norm import batch_norm

_NUM_BRANCHES = 4


class HRNet(nn.Module):
    """The four maps of stage 4 at strides 4, 8, 16, 32; a side of s pixels has ceil(s / stride) cells.

    `channels` are their depths: C, 2C, 4C, 8C for the width C (section 3.4).
    """

    classifier_keys: ClassVar[tuple[str, ...]] = (
        "incre_modules.",
        "downsamp_modules.",
        "final_layer.",
        "classifier.",
    )
    """How the names begin that only the ImageNet classifier has."""

    def __init__(
        self, width: int, stem_channels: int, num_modules: tuple[int, int, int], num_blocks: int
    ) -> None:
        super().__init__()
        self.channels = tuple(width << branch for branch in range(_NUM_BRANCHES))
        self.conv1 = conv3x3(3, stem_channels, stride=2)
        self.bn1 = batch_norm(stem_channels)
        self.conv2 = conv3x3(stem_channels, stem_channels, stride=2)
        self.bn2 = batch_norm(stem_channels)
        self.layer1 = bottlenecks(stem_channels, stem_channels, num_blocks)
        self.transition1 = nn.ModuleList(
            [
                _conv_bn_relu(stem_channels * Bottleneck.EXPANSION, self.channels[0]),
                _halved(stem_channels * Bottleneck.EXPANSION, self.channels[1]),
            ]
        )
        self.stage2 = _stage(self.channels[:2], num_modules[0], num_blocks)
        self.transition2 = _with_new_branch(self.channels[:3])
        self.stage3 = _stage(self.channels[:3], num_modules[1], num_blocks)
        self.transition3 = _with_new_branch(self.channels)
        self.stage4 = _stage(self.channels, num_modules[2], num_blocks)
        initialise(self)

    def forward(self, x: Float[Tensor, "batch 3 height width"]) -> list[Float[Tensor, "batch _ _ _"]]:
        """The four maps, finest first, for images of any height and width from one pixel."""
        x = F.relu(self.bn1(self.conv1(x)), inplace=True)
        x = F.relu(self.bn2(self.conv2(x)), inplace=True)
        x = self.layer1(x)
        maps: list[Tensor] = self.stage2([transition(x) for transition in self.transition1])
        maps = self.stage3([*maps, self.transition2[-1](maps[-1])])
        fused: list[Tensor] = self.stage4([*maps, self.transition3[-1](maps[-1])])
        return fused


class _Exchange(nn.Module):
    """Residual blocks on each branch, then the sum over all branches at each one's resolution (section 3.3)."""

    def __init__(self, channels: tuple[int, ...], num_blocks: int) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            nn.Sequential(*(BasicBlock(depth) for _ in range(num_blocks))) for depth in channels
        )
        self.fuse_layers = nn.ModuleList(
            nn.ModuleList(_path(channels, source, target) for source in range(len(channels)))
            for target in range(len(channels))
        )

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        maps = [branch(x) for branch, x in zip(self.branches, maps, strict=True)]
        fused = []
        for paths, target in zip(self.fuse_layers, maps, strict=True):
            assert isinstance(paths, nn.ModuleList)
            height, width = target.shape[-2:]
            total: Tensor | int = 0
            for path, source in zip(paths, maps, strict=True):
                # An odd side is enlarged by one cell too many. Cut off, not squeezed by interpolating to the size:
                # a coarse cell stays over the pixels that it saw, wherever the image ends.
                total = total + path(source)[..., :height, :width]
            assert isinstance(total, Tensor)
            fused.append(F.relu(total, inplace=True))
        return fused


def hrnet(
    width: int = 48,
    stem_channels: int = 64,
    num_modules: tuple[int, int, int] = (1, 4, 3),
    num_blocks: int = 4,
) -> HRNet:
    """The trunk with random weights; `width` is the depth C of the finest branch: 18, 32 or 48 are published.

    `stem_channels` are those of the first convolutions, `num_modules` counts the exchanges of stages 2, 3 and 4,
    `num_blocks` the residual blocks of stage 1 and between two exchanges; published weights have the defaults.
    `hrnet(8, stem_channels=16, num_modules=(1, 1, 1), num_blocks=2)` is a slim trunk: 0.37 million parameters and
    0.28 billion multiply-adds on 320 x 320 pixels, where width 48 has 65 million and 33 billion.

    Raises ValueError for counts below one.
    """
    if min(width, stem_channels, num_blocks, *num_modules) < 1 or len(num_modules) != 3:
        raise ValueError(
            f"an HRNet of width {width}, {stem_channels} stem channels, {num_modules} modules and {num_blocks} "
            "blocks cannot be: widths and counts are at least one, the modules those of stages 2, 3 and 4"
        )
    return HRNet(width, stem_channels, num_modules, num_blocks)


def _stage(channels: tuple[int, ...], num_modules: int, num_blocks: int) -> nn.Sequential:
    return nn.Sequential(*(_Exchange(channels, num_blocks) for _ in range(num_modules)))


def _with_new_branch(channels: tuple[int, ...]) -> nn.ModuleList:
    """One more branch, made from the coarsest so far; the others go on as they are."""
    return nn.ModuleList([*(nn.Identity() for _ in channels[:-1]), _halved(channels[-2], channels[-1])])


def _path(channels: tuple[int, ...], source: int, target: int) -> nn.Module:
    """What brings one branch to another's depth and resolution."""
    if source == target:
        return nn.Identity()
    if source > target:
        return nn.Sequential(
            nn.Conv2d(channels[source], channels[target], 1, bias=False),
            batch_norm(channels[target]),
            nn.Upsample(scale_factor=2 ** (source - target), mode="nearest"),
        )
    steps = [_conv_bn_relu(channels[source], channels[source], stride=2) for _ in range(target - source - 1)]
    last = nn.Sequential(conv3x3(channels[source], channels[target], stride=2), batch_norm(channels[target]))
    return nn.Sequential(*steps, last)


def _halved(num_in: int, num_out: int) -> nn.Sequential:
    # in a sequence of its own because the published names have one level more here
    return nn.Sequential(_conv_bn_relu(num_in, num_out, stride=2))


def _conv_bn_relu(num_in: int, num_out: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(conv3x3(num_in, num_out, stride), batch_norm(num_out), nn.ReLU(inplace=True))
