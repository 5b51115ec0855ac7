"""The head: one residual for each of the N candidates, from a map of the whole image (paper 3.4, 4.3)."""

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from crface.ranker.bpn import LEAKY_SLOPE
from crface.tensor_shapes import ScoreBatch


class ConfidenceModule(nn.Module):
    """The residual of every candidate; all zeros while untrained.

    3x3 convolution, leaky ReLU, global average pooling, fully connected layer to N. The last layer starts at
    zero, so an untrained ranker leaves every confidence as it is, and training departs from the detector's
    own order. (The paper says nothing about the start; a random one would shuffle the candidates first.)

    Output k belongs to "the candidate with the k-th highest confidence", from features pooled over the whole
    image: it can learn how far down the list the faces of this picture reach, not what is inside box k.
    """

    def __init__(self, channels: int, num_candidates: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)
        self.linear = nn.Linear(channels, num_candidates)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, level: Float[Tensor, "image channel height width"]) -> ScoreBatch:
        """The residuals that one pyramid level proposes."""
        features: Tensor = F.leaky_relu(self.conv(level), LEAKY_SLOPE)
        residuals: Tensor = self.linear(features.mean(dim=(2, 3)))
        return residuals
