"""The interface of an anchor network for its adapter and its training: a module that knows its priors."""

from abc import ABC, abstractmethod

from jaxtyping import Float
from torch import Tensor, nn

from crface.backbones import Trunk
from detectors.networks.priors import PriorLayout


class AnchorNetwork(nn.Module, ABC):
    """A network with outputs (box offsets, class logits or probabilities, ...) per prior of `layout`.

    Priors are ordered finest stride first. The class outputs (not face, face) are logits in training mode and
    probabilities in evaluation mode; further outputs are the network's own. The input is BGR images of any size
    from one pixel, 0..255 minus the mean (`detectors.forward.pixels.to_input`).
    """

    layout: PriorLayout

    @abstractmethod
    def forward(self, x: Float[Tensor, "batch 3 height width"]) -> tuple[Float[Tensor, "batch prior _"], ...]:
        """The outputs for a batch of images of one size."""

    @property
    @abstractmethod
    def trunk_module(self) -> Trunk:
        """The trunk, for which training can start from weights of its own."""

    @abstractmethod
    def initialise(self) -> None:
        """Draw random weights from the global generator."""
