"""An anchor network on a CPU: its form for inference, given images one at a time."""

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from crface.backbones.fused import fused
from detectors.forward.pixels import to_input
from detectors.networks.anchor_network import AnchorNetwork


class CpuForm:
    """A network's outputs, to a rounding, in less time than its layers take one by one.

    Images are computed one after another, so that an image's outputs are the same bytes in any company; on a CPU a
    batch gains nothing. The weights are those that the network has when this is made.
    """

    def __init__(self, network: AnchorNetwork) -> None:
        self._network = fused(network)

    def __call__(
        self, images: UInt8[Tensor, "batch height width 3"]
    ) -> tuple[Float[Tensor, "batch prior _"], ...]:
        """The network's outputs for RGB images."""
        answers = [self._network(to_input(image)) for image in images.split(1)]
        return tuple(torch.cat(parts) for parts in zip(*answers, strict=True))
