"""The head: one residual for each of the N candidates, from a map of the whole image (paper 3.4, 4.3)."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from crface.ranker.bpn import LEAKY_SLOPE
from crface.ranker.gate import logit_of
from crface.tensor_shapes import RowBatch, ScoreBatch


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

    def forward(self, level: Float[Tensor, "image channel height width"], rows: RowBatch) -> ScoreBatch:
        """The residuals that one pyramid level proposes; the paper's head is not told the `rows`."""
        residuals: Tensor = self.linear(self._pooled(level))
        return residuals

    def _pooled(self, level: Tensor) -> Tensor:
        return F.leaky_relu(self.conv(level), LEAKY_SLOPE).mean(dim=(2, 3))


class ToldConfidenceModule(ConfidenceModule):
    """The paper's head with one change: output k is told which candidate it belongs to.

    The five numbers of candidate k (centre, logarithms of width and height, logit of the confidence) go through a
    layer of their own, are added to the paper's pooled features, and one linear layer, the same for every candidate,
    makes the residual. It shows how much of what the paper's head lacks is this alone (docs/reproduction.md).
    """

    def __init__(self, channels: int, num_candidates: int) -> None:
        super().__init__(channels, num_candidates)
        self.box = nn.Linear(5, channels)
        self.linear = nn.Linear(channels, 1)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, level: Float[Tensor, "image channel height width"], rows: RowBatch) -> ScoreBatch:
        """The residuals that one pyramid level proposes for the candidates in `rows`."""
        size = rows[..., 2:4]
        numbers = [
            rows[..., :2] + size / 2 - 0.5,
            size.clamp(min=1e-4).log() / 2 + 1.5,
            logit_of(rows[..., 4:]) / 4,
        ]
        told = self._pooled(level)[:, None] + self.box(torch.cat(numbers, dim=-1))
        residuals: Tensor = self.linear(F.leaky_relu(told, LEAKY_SLOPE))[..., 0]
        return residuals
