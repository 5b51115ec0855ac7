"""What an anchor network is to its adapter and its training: a module that knows its priors."""

from abc import ABC, abstractmethod

from jaxtyping import Float
from torch import Tensor, nn

from crface.backbones import Trunk
from detectors.networks.priors import PriorLayout


class AnchorNetwork(nn.Module, ABC):
    """Give (box offsets, class logits or probabilities, ...) of each prior of `layout`, finest stride first.

    The class outputs (not face, face) are logits in training mode, probabilities in evaluation mode. What
    a network gives beyond these two is its own. Input are BGR images of any size from one pixel, 0..255
    minus the mean (`detectors.adapter.to_input`).
    """

    layout: PriorLayout

    @abstractmethod
    def forward(self, x: Float[Tensor, "batch 3 height width"]) -> tuple[Float[Tensor, "batch prior _"], ...]:
        """Run on a batch of images of one size."""

    @property
    @abstractmethod
    def trunk_module(self) -> Trunk:
        """The trunk, which training can start from weights of its own."""

    @abstractmethod
    def initialise(self) -> None:
        """Draw random weights from the global generator."""
