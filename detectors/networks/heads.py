"""The heads of anchor networks, and how a network with heads starts."""

import math

import torch
from torch import Tensor, nn

_FACE_PROBABILITY = 0.01  # what the class heads answer everywhere at the start of training


class Head(nn.Module):
    """One 1 x 1 convolution that gives `num_values` for each prior, rows in the order of the priors."""

    def __init__(self, channels: int, priors_per_cell: int, num_values: int) -> None:
        super().__init__()
        self._num_values = num_values
        self.conv1x1 = nn.Conv2d(channels, priors_per_cell * num_values, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Give `[batch, prior, num_values]`."""
        cells: Tensor = self.conv1x1(x)
        return cells.permute(0, 2, 3, 1).reshape(len(x), -1, self._num_values)


def initialise(network: nn.Module, class_heads: nn.ModuleList, other_heads: list[nn.ModuleList]) -> None:
    """Draw random weights from the global generator: a calm start in which nothing is a face.

    Class heads give (not face, face) for each prior.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, a=0.1, mode="fan_out" if module.groups == 1 else "fan_in")
    for head in (head for heads in (class_heads, *other_heads) for head in heads.modules()):
        if isinstance(head, nn.Conv2d) and head.bias is not None:
            nn.init.normal_(head.weight, std=0.01)
            nn.init.zeros_(head.bias)
    # A start where everything is a face would drown the first hundred steps in the loss of the negatives.
    for head in class_heads.modules():
        if isinstance(head, nn.Conv2d) and head.bias is not None:
            with torch.no_grad():
                head.bias[0::2] = math.log((1 - _FACE_PROBABILITY) / _FACE_PROBABILITY)
