"""Picture features for the per-box rankers: a light RetinaFace without its heads.

Backbone, feature pyramid and context modules are those of RetinaFace (Deng et al. 2019), with the key names of
its published PyTorch checkpoints, so a training can begin from weights that know faces (`crface.ranker.start`).
"""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from crface.backbones import mobilenet_v1
from crface.backbones.fused import fused
from crface.backbones.layers import Context, FeaturePyramid
from crface.tensor_shapes import PictureBatch

CHANNELS = 64
"""Of each of the three maps."""

STRIDES = (8, 16, 32)
"""Pixels between two cells of each map."""

_WIDTH = 0.25


class Trunk(nn.Module):
    """Three maps of 64 channels at strides 8, 16 and 32, each with context of 3, 5 and 7 cells.

    In evaluation mode on a CPU, where no gradient is asked for, they come from the fused form of the network, one image
    at a time: the same maps to a rounding, and the same bits in any company.
    """

    def __init__(self) -> None:
        super().__init__()
        self.body = mobilenet_v1(_WIDTH)
        self.fpn = FeaturePyramid(self.body.channels, CHANNELS)
        self.ssh1, self.ssh2, self.ssh3 = Context(CHANNELS), Context(CHANNELS), Context(CHANNELS)
        self._form = _Form()

    def forward(self, images: PictureBatch) -> list[Float[Tensor, "image channel _ _"]]:
        """The maps, finest first; a side of s pixels has ceil(s / stride) cells."""
        if not self._can_be_fused(images):
            return self._levels(images)
        form = self._form.of(self)
        levels = [form._levels(image) for image in images.split(1)]
        return levels[0] if len(levels) == 1 else [torch.cat(level) for level in zip(*levels, strict=True)]

    def _levels(self, images: Tensor) -> list[Tensor]:
        levels = self.fpn(self.body(images))
        return [ssh(level) for ssh, level in zip((self.ssh1, self.ssh2, self.ssh3), levels, strict=True)]

    def _can_be_fused(self, images: Tensor) -> bool:
        is_plain = images.device.type == "cpu" and images.dtype == torch.float32 and len(images) > 0
        is_traced = torch.compiler.is_compiling() or torch.onnx.is_in_onnx_export()
        is_learning = self.training or torch.is_grad_enabled() or torch.is_autocast_enabled("cpu")
        return is_plain and not is_traced and not is_learning


class _Form:
    """The fused form of a trunk, made anew when a weight has changed; a copy of a trunk begins without one."""

    def __init__(self) -> None:
        self._made_of: list[tuple[int, int]] = []
        self._trunk: Trunk | None = None

    def __deepcopy__(self, memo: dict[int, Any]) -> "_Form":
        return _Form()

    def of(self, trunk: Trunk) -> Trunk:
        """The form of the trunk as it is now."""
        made_of = [(tensor.data_ptr(), tensor._version) for tensor in (*trunk.parameters(), *trunk.buffers())]
        if self._trunk is None or made_of != self._made_of:
            self._trunk, self._made_of = fused(trunk), made_of
        return self._trunk
