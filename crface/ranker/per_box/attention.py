"""How a box hears its neighbours: attention over at most 16 of them, whatever N is."""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from crface.ranker.per_box.overlaps import NUM_PAIR_FEATURES

NUM_HEADS = 4

_BLOCK = 256
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
        heard = [
            self._of_image(*image) for image in zip(own, other, neighbour, is_neighbour, pairs, strict=True)
        ]
        changed: Tensor = features + self.out(torch.stack(heard))
        return changed

    def _of_image(
        self,
        own: Float[Tensor, "box feature"],
        other: Float[Tensor, "box feature"],
        neighbour: Int64[Tensor, "box neighbour"],
        is_neighbour: Bool[Tensor, "box neighbour"],
        pairs: Float[Tensor, "box neighbour 7"],
    ) -> Float[Tensor, "box feature"]:
        """What the boxes of one image hear; its messages fit into a processor's cache, those of a batch do not."""
        itself = torch.arange(len(own), device=own.device)[:, None]
        speaker = torch.cat([itself, neighbour], dim=1)
        is_heard = F.pad(is_neighbour, (1, 0), value=True)
        about = F.pad(pairs, (0, 0, 1, 0))
        step = max(1, len(own) if self.training else _BLOCK)
        blocks = [slice(start, start + step) for start in range(0, max(1, len(own)), step)]
        heard = [self._heard(other, own[one], speaker[one], is_heard[one], about[one]) for one in blocks]
        return torch.cat(heard)

    def _heard(
        self, other: Tensor, own: Tensor, speaker: Tensor, is_heard: Tensor, about: Tensor
    ) -> Float[Tensor, "box feature"]:
        """The weighted messages to some boxes of an image."""
        said = torch.addmm(
            other.index_select(0, speaker.flatten()), about.flatten(0, 1), self.pair.weight.t()
        )
        message = F.relu(own[:, None] + said.view(*speaker.shape, -1), inplace=True)
        # Both sums over channels are matrix products, in which each head has the other heads' channels times 0: less
        # work than to read and to write all messages once more.
        of_head = torch.eye(NUM_HEADS, device=own.device).repeat_interleave(self.weight.shape[1], dim=1)
        importance = F.linear(message, of_head * self.weight.flatten())
        share = importance.masked_fill(~is_heard[..., None], -torch.inf).softmax(dim=1)
        return (torch.bmm(share.transpose(1, 2), message) * of_head).sum(dim=1)
