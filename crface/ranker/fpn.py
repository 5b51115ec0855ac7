"""The feature pyramid that merges image and box features (paper 3.4, 4.3; Lin et al. 2017)."""

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from crface.ranker.bpn import LEAKY_SLOPE


class FeaturePyramid(nn.Module):
    """One merged map of `channels` per level, from levels of any depth, finest first.

    "The concatenated features are then passed into FPN layers which is a 3x3 convolution with 256 channels
    and perform the merge on each scale" is read as the original FPN: a 1x1 convolution brings each level to
    `channels`, coarser levels are enlarged (nearest neighbour) and added to finer ones, then a 3x3
    convolution on each level. With the 1x1 the large ranker has 32.4 million parameters (129 MB; the paper
    says 128 MB); a 3x3 in its place would make it 153 MB. A leaky ReLU follows the 3x3; there is no batch
    normalisation outside the backbone, as the paper names none.
    """

    def __init__(self, level_channels: tuple[int, ...], channels: int) -> None:
        super().__init__()
        self.lateral = nn.ModuleList(nn.Conv2d(num_in, channels, 1) for num_in in level_channels)
        self.merge = nn.ModuleList(nn.Conv2d(channels, channels, 3, padding=1) for _ in level_channels)

    def forward(self, levels: list[Float[Tensor, "image _ _ _"]]) -> list[Float[Tensor, "image channel _ _"]]:
        """The merged levels, finest first; each keeps its height and width."""
        merged = [lateral(level) for lateral, level in zip(self.lateral, levels, strict=True)]
        for i in range(len(merged) - 1, 0, -1):
            enlarged = F.interpolate(merged[i], size=merged[i - 1].shape[-2:], mode="nearest")
            merged[i - 1] = merged[i - 1] + enlarged
        return [
            F.leaky_relu(merge(level), LEAKY_SLOPE) for merge, level in zip(self.merge, merged, strict=True)
        ]
