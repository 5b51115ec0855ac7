"""The heads of anchor networks, and the initial weights of a network with heads."""

import math

import torch
from torch import Tensor, nn

_FACE_PROBABILITY = 0.01  # the class heads' output everywhere at the start of training


class Head(nn.Module):
    """One 1 x 1 convolution with `num_values` outputs for each prior, rows in the order of the priors."""

    def __init__(self, channels: int, priors_per_cell: int, num_values: int) -> None:
        super().__init__()
        self._num_values = num_values
        self.conv1x1 = nn.Conv2d(channels, priors_per_cell * num_values, 1)

    def forward(self, x: Tensor) -> Tensor:
        """The values for a map, `[batch, prior, num_values]`."""
        cells: Tensor = self.conv1x1(x)
        return cells.permute(0, 2, 3, 1).reshape(x.shape[0], -1, self._num_values)


def initialise(network: nn.Module, class_heads: nn.ModuleList, other_heads: list[nn.ModuleList]) -> None:
    """Draw random weights from the global generator, such that nothing is a face at the start.

    Class heads have the outputs (not face, face) for each prior.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, a=0.1, mode="fan_out" if module.groups == 1 else "fan_in")
    for head in (head for heads in (class_heads, *other_heads) for head in heads.modules()):
        if isinstance(head, nn.Conv2d) and head.bias is not None:
            nn.init.normal_(head.weight, std=0.01)
            nn.init.zeros_(head.bias)
    # If everything began as a face, the loss of the negatives would drown the first hundred steps.
    for head in class_heads.modules():
        if isinstance(head, nn.Conv2d) and head.bias is not None:
            with torch.no_grad():
                head.bias[0::2] = math.log((1 - _FACE_PROBABILITY) / _FACE_PROBABILITY)
