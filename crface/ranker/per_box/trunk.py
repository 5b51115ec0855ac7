"""Picture features for the per-box rankers: a light RetinaFace without its heads.

Backbone, feature pyramid and context modules are those of RetinaFace (Deng et al. 2019), with the key names of
its published PyTorch checkpoints, so a training can begin from weights that know faces (`crface.ranker.start`).
"""

from jaxtyping import Float
from torch import Tensor, nn

from crface.backbones import mobilenet_v1
from crface.backbones.layers import Context, FeaturePyramid
from crface.tensor_shapes import PictureBatch

CHANNELS = 64
"""Of each of the three maps."""

STRIDES = (8, 16, 32)
"""Pixels between two cells of each map."""

_WIDTH = 0.25


class Trunk(nn.Module):
    """Three maps of 64 channels at strides 8, 16 and 32, each with context of 3, 5 and 7 cells."""

    def __init__(self) -> None:
        super().__init__()
        self.body = mobilenet_v1(_WIDTH)
        self.fpn = FeaturePyramid(self.body.channels, CHANNELS)
        self.ssh1, self.ssh2, self.ssh3 = Context(CHANNELS), Context(CHANNELS), Context(CHANNELS)

    def forward(self, images: PictureBatch) -> list[Float[Tensor, "image channel _ _"]]:
        """The maps, finest first; a side of s pixels has ceil(s / stride) cells."""
        levels = self.fpn(self.body(images))
        return [ssh(level) for ssh, level in zip((self.ssh1, self.ssh2, self.ssh3), levels, strict=True)]
