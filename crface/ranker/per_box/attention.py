"""How a box hears its neighbours: attention over at most 16 of them, whatever N is."""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from crface.ranker.per_box.overlaps import NUM_PAIR_FEATURES, at_rows

NUM_HEADS = 4

_BLOCK = 1024
"""Boxes at work at a time outside of training."""


class NeighbourAttention(nn.Module):
    """Features of each box, changed by those of its neighbours; a box without neighbours hears only itself.

    The message of neighbour j to box i is `m = relu(A e_i + B e_j + C p_ij)`, p_ij the features of the pair;
    its weight a softmax over the neighbours of a linear function of m, for each of 4 heads of channels (the
    additive attention of Brody et al. 2022). Box i is its own neighbour too, with p = 0, so that there always is
    one. The weighted messages go through a linear layer and are added to e_i, after layer normalisation. Time
    and memory grow with 16 N, not with N^2 (relation networks, Hu et al. 2018, cut to what overlaps).
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.own = nn.Linear(width, width)
        self.other = nn.Linear(width, width, bias=False)
        self.pair = nn.Linear(NUM_PAIR_FEATURES, width, bias=False)
        self.weight = nn.Parameter(torch.randn(NUM_HEADS, width // NUM_HEADS) * (width // NUM_HEADS) ** -0.5)
        self.out = nn.Linear(width, width)

    def forward(
        self,
        features: Float[Tensor, "image box feature"],
        neighbour: Int64[Tensor, "image box neighbour"],
        is_neighbour: Bool[Tensor, "image box neighbour"],
        pairs: Float[Tensor, "image box neighbour 7"],
    ) -> Float[Tensor, "image box feature"]:
        """Features of every box after hearing the rows in `neighbour`, where `is_neighbour`."""
        normed = self.norm(features)
        own, other = self.own(normed), self.other(normed)
        step = features.shape[1] if self.training else _BLOCK
        heard = [
            self._heard(
                own[:, block], other, other[:, block], neighbour[:, block], is_neighbour[:, block], pair
            )
            for block, pair in _blocks(pairs, step)
        ]
        changed: Tensor = features + self.out(torch.cat(heard, dim=1))
        return changed

    def _heard(
        self,
        own: Tensor,
        other: Tensor,
        itself: Tensor,
        neighbour: Tensor,
        is_neighbour: Tensor,
        pairs: Tensor,
    ) -> Tensor:
        said = at_rows(other, neighbour) + self.pair(pairs)
        message = F.relu(own[:, :, None] + torch.cat([itself[:, :, None], said], dim=2))
        message = message.view(*message.shape[:3], *self.weight.shape)
        importance = (message * self.weight).sum(dim=-1)
        is_heard = F.pad(is_neighbour, (1, 0), value=True)[..., None]
        share = importance.masked_fill(~is_heard, -torch.inf).softmax(dim=2)
        return (share[..., None] * message).sum(dim=2).flatten(2)


def _blocks(pairs: Tensor, step: int) -> list[tuple[slice, Tensor]]:
    starts = range(0, max(1, pairs.shape[1]), max(1, step))
    return [(slice(start, start + step), pairs[:, start : start + step]) for start in starts]
