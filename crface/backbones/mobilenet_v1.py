"""MobileNet v1 (Howard et al. 2017): depthwise separable convolutions, maps at strides 8, 16 and 32.

The key names are those of the published PyTorch RetinaFace checkpoints (`stage1.0.0.weight`, ...), so that
their `body.` loads as it is; with `width=0.25` this is the "mobilenet0.25" trunk of RetinaFace (Deng et al.
2019, section 4.4).
"""

from typing import ClassVar

from jaxtyping import Float
from torch import Tensor, nn

from crface.backbones.narrow_norm import batch_norm
from crface.backbones.pointwise import Pointwise

_LEAKY_SLOPE = 0.1


class MobileNetV1(nn.Module):
    """The maps [c3, c4, c5] at strides 8, 16, 32; a side of s pixels has ceil(s / stride) cells.

    `channels` are the depths of the three maps.
    """

    classifier_keys: ClassVar[tuple[str, ...]] = ("fc.",)
    """How the names begin that only the ImageNet classifier has."""

    def __init__(self, width: float) -> None:
        super().__init__()
        c = [round(channels * width) for channels in (32, 64, 128, 256, 512, 1024)]
        self.channels: tuple[int, int, int] = (c[3], c[4], c[5])
        self.stage1 = nn.Sequential(
            _full(3, c[0], stride=2),
            _separable(c[0], c[1], stride=1),
            _separable(c[1], c[2], stride=2),
            _separable(c[2], c[2], stride=1),
            _separable(c[2], c[3], stride=2),
            _separable(c[3], c[3], stride=1),
        )
        self.stage2 = nn.Sequential(
            _separable(c[3], c[4], stride=2),
            *(_separable(c[4], c[4], stride=1) for _ in range(5)),
        )
        self.stage3 = nn.Sequential(
            _separable(c[4], c[5], stride=2),
            _separable(c[5], c[5], stride=1),
        )

    def forward(self, x: Float[Tensor, "batch 3 height width"]) -> list[Float[Tensor, "batch _ _ _"]]:
        """The three maps, finest first, for images of any height and width from one pixel."""
        c3 = self.stage1(x)
        c4 = self.stage2(c3)
        return [c3, c4, self.stage3(c4)]


def mobilenet_v1(width: float = 1.0) -> MobileNetV1:
    """The trunk with random weights; `width` multiplies all channels (0.25: 8 to 256).

    Raises ValueError for a width that leaves a layer without channels.
    """
    if not width * 32 >= 1:
        raise ValueError(f"a MobileNet of width {width} has no channels: the width must be at least 1/32")
    return MobileNetV1(width)


def _full(num_in: int, num_out: int, stride: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(num_in, num_out, 3, stride, padding=1, bias=False),
        batch_norm(num_out),
        nn.LeakyReLU(_LEAKY_SLOPE, inplace=True),
    )


def _separable(num_in: int, num_out: int, stride: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(num_in, num_in, 3, stride, padding=1, groups=num_in, bias=False),
        batch_norm(num_in),
        nn.LeakyReLU(_LEAKY_SLOPE, inplace=True),
        Pointwise(num_in, num_out),
        batch_norm(num_out),
        nn.LeakyReLU(_LEAKY_SLOPE, inplace=True),
    )
