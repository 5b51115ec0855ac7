"""HAMBox (Liu et al. 2020), as the paper re-implements it (section 3): one square anchor per cell of six maps.

Any trunk with four maps at strides 4, 8, 16 and 32 will do: ResNet-50 makes it HAMBox, HRNet-W48 the paper's
"HRNet". As in the paper, pyramid anchors, the deep head and the regression-aware focal loss are left out. The
paper does not say which head remains; here it is SSH's context module and one 1 x 1 convolution for classes and
boxes, separate for each map, as in RetinaFace. What makes it HAMBox, the mining of high-quality anchors, happens
only in training: `detectors.training.mining`.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from crface.backbones import Trunk, hrnet, resnet, resnet50
from crface.backbones.layers import Context, conv, resized, slope_of
from detectors.networks.anchor_network import AnchorNetwork
from detectors.networks.heads import Head, initialise
from detectors.networks.priors import HAMBOX_LAYOUT


class HAMBox(AnchorNetwork):
    """A network with outputs (box offsets, class logits or probabilities) per anchor.

    `trunk` has four maps at strides 4 to 32. From these the pyramid of `channels` (Lin et al. 2017) makes P2 to
    P5; P6 and P7 (strides 64 and 128) are convolutions of stride 2 on P5.
    """

    layout = HAMBOX_LAYOUT

    def __init__(self, trunk: Trunk, channels: int) -> None:
        super().__init__()
        self.trunk = trunk
        slope = slope_of(channels)
        self.laterals = nn.ModuleList(conv(num_in, channels, slope, kernel=1) for num_in in trunk.channels)
        self.merges = nn.ModuleList(conv(channels, channels, slope) for _ in trunk.channels[:-1])
        num_coarser = len(self.layout.strides_px) - len(trunk.channels)
        self.coarser = nn.ModuleList(conv(channels, channels, slope, stride=2) for _ in range(num_coarser))
        self.contexts = nn.ModuleList(Context(channels) for _ in self.layout.strides_px)
        self.class_heads = self._heads(channels, 2)
        self.box_heads = self._heads(channels, 4)
        self.initialise()

    def forward(
        self, x: Float[Tensor, "batch 3 height width"]
    ) -> tuple[Float[Tensor, "batch prior 4"], Float[Tensor, "batch prior 2"]]:
        """The outputs for BGR images of any size from one pixel, 0..255 minus the mean."""
        features = [context(level) for context, level in zip(self.contexts, self._pyramid(x), strict=True)]
        boxes, classes = (
            torch.cat([head(feature) for head, feature in zip(heads, features, strict=True)], dim=1)
            for heads in (self.box_heads, self.class_heads)
        )
        return boxes, classes if self.training else F.softmax(classes, dim=-1)

    @property
    def trunk_module(self) -> Trunk:
        """The trunk, for which training can start from weights of its own."""
        return self.trunk

    def initialise(self) -> None:
        """Draw random weights from the global generator, such that nothing is a face at the start."""
        initialise(self, self.class_heads, [self.box_heads])

    def _pyramid(self, x: Tensor) -> list[Tensor]:
        levels = [lateral(level) for lateral, level in zip(self.laterals, self.trunk(x), strict=True)]
        for i in reversed(range(len(levels) - 1)):
            levels[i] = self.merges[i](levels[i] + resized(levels[i + 1], like=levels[i]))
        for coarser in self.coarser:
            levels.append(coarser(levels[-1]))
        return levels

    def _heads(self, channels: int, num_values: int) -> nn.ModuleList:
        return nn.ModuleList(
            Head(channels, self.layout.priors_per_cell, num_values) for _ in self.layout.strides_px
        )


def hambox_resnet50() -> HAMBox:
    """The paper's HAMBox, on ResNet-50 with a pyramid of 256 channels; random weights."""
    trunk = resnet50()
    return HAMBox(trunk, channels=256)


def hrnet_detector(width: int) -> HAMBox:
    """The paper's own baseline, HAMBox's head and anchors on HRNet of width 18, 32 or 48; random weights."""
    trunk = hrnet(width)
    return HAMBox(trunk, channels=256)


def hambox_slim() -> HAMBox:
    """A HAMBox for CPUs, on a ResNet with 3/16 of the channels and two blocks per stage (2.5 MB)."""
    trunk = resnet(width=3 / 16, blocks=(2, 2, 2, 2))
    return HAMBox(trunk, channels=32)


def hrnet_slim() -> HAMBox:
    """An HRNet detector for CPUs: width 12, one exchange per stage, one block per branch (2.5 MB)."""
    trunk = hrnet(width=12, stem_channels=16, num_modules=(1, 1, 1), num_blocks=1)
    return HAMBox(trunk, channels=32)
