"""RetinaFace (Deng et al. 2019): three pyramid maps with context modules, heads for classes, boxes, landmarks.

The network has the keys of the published PyTorch checkpoints, so these load unchanged.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from crface.backbones import Trunk, mobilenet_v1, resnet50
from crface.backbones.layers import Context, FeaturePyramid
from detectors.networks.anchor_network import AnchorNetwork
from detectors.networks.heads import Head, initialise
from detectors.networks.priors import RETINAFACE_LAYOUT


class RetinaFace(AnchorNetwork):
    """A network with outputs (box offsets, class logits or probabilities, landmark offsets) per prior.

    `body` has three maps at strides 8, 16 and 32. Box and landmark offsets are relative to the priors of
    `detectors.networks.priors`. Landmarks are meaningless with weights that were trained without them.
    """

    layout = RETINAFACE_LAYOUT

    def __init__(self, body: Trunk, channels: int) -> None:
        super().__init__()
        self.body = body
        self.fpn = FeaturePyramid(body.channels, channels)
        self.ssh1 = Context(channels)
        self.ssh2 = Context(channels)
        self.ssh3 = Context(channels)
        self.ClassHead = self._heads(channels, 2)
        self.BboxHead = self._heads(channels, 4)
        self.LandmarkHead = self._heads(channels, 10)
        self.initialise()

    def forward(
        self, x: Float[Tensor, "batch 3 height width"]
    ) -> tuple[
        Float[Tensor, "batch prior 4"], Float[Tensor, "batch prior 2"], Float[Tensor, "batch prior 10"]
    ]:
        """The outputs for BGR images of any size from one pixel, 0..255 minus the mean."""
        pyramid = self.fpn(self.body(x))
        features = [ssh(level) for ssh, level in zip((self.ssh1, self.ssh2, self.ssh3), pyramid, strict=True)]
        boxes, classes, landmarks = (
            torch.cat([head(feature) for head, feature in zip(heads, features, strict=True)], dim=1)
            for heads in (self.BboxHead, self.ClassHead, self.LandmarkHead)
        )
        return boxes, classes if self.training else F.softmax(classes, dim=-1), landmarks

    @property
    def trunk_module(self) -> Trunk:
        """The trunk, for which training can start from weights of its own."""
        return self.body

    def initialise(self) -> None:
        """Draw random weights from the global generator, such that nothing is a face at the start."""
        initialise(self, self.ClassHead, [self.BboxHead, self.LandmarkHead])

    def _heads(self, channels: int, num_values: int) -> nn.ModuleList:
        return nn.ModuleList(
            Head(channels, self.layout.priors_per_cell, num_values) for _ in self.layout.strides_px
        )


def mobilenet025() -> RetinaFace:
    """The network with the mobilenet0.25 trunk (0.43 million parameters); random weights."""
    body = mobilenet_v1(width=0.25)
    return RetinaFace(body, channels=64)


def retinaface_resnet50() -> RetinaFace:
    """The network with the ResNet-50 trunk (27.3 million parameters); random weights."""
    body = resnet50(finest_level=3)
    return RetinaFace(body, channels=256)
