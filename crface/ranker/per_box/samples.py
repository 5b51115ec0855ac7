"""What a box looks like: picture features at a grid of points in it and around it."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from crface.ranker.per_box.trunk import CHANNELS, STRIDES

GRIDS = ((5, 1.0), (3, 2.0))
"""Points a side, and the side of the grid in sides of the box: the face, and what is around it."""

_SQUEEZED = 32


class BoxSampler(nn.Module):
    """`width` features of each box, from all three maps.

    The maps are first squeezed to 32 channels. Every map is read for every box, bilinearly at the points of both grids
    and as zero outside the picture. For a small face the finest map tells most; for a large one, whose points lie far
    apart on it, the coarser maps do. The next layer weighs them.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.squeeze = nn.ModuleList(nn.Conv2d(CHANNELS, _SQUEEZED, 1) for _ in STRIDES)
        num_points = sum(side * side for side, _ in GRIDS)
        self.project = nn.Linear(len(STRIDES) * num_points * _SQUEEZED, width)
        self.norm = nn.LayerNorm(width)

    def forward(
        self, levels: list[Float[Tensor, "image channel _ _"]], boxes_xywh: Float[Tensor, "image box 4"]
    ) -> Float[Tensor, "image box feature"]:
        """Features read from the maps (finest first) at boxes given by upper left corner and size, in pixels."""
        points = grid_points(boxes_xywh)
        squeezed = [conv(level) for conv, level in zip(self.squeeze, levels, strict=True)]
        read = [read_points(level, points, stride) for level, stride in zip(squeezed, STRIDES, strict=True)]
        features: Tensor = self.norm(self.project(torch.cat(read, dim=2)))
        return F.relu(features)


def grid_points(boxes_xywh: Float[Tensor, "image box 4"]) -> Float[Tensor, "image box point 2"]:
    """The points x, y of both grids: the centres of equal cells of the box, or of twice the box."""
    centre, size = boxes_xywh[..., :2] + boxes_xywh[..., 2:] / 2, boxes_xywh[..., 2:]
    offsets = []
    for side, scale in GRIDS:
        steps = ((torch.arange(side, device=boxes_xywh.device) + 0.5) / side - 0.5) * scale
        y, x = torch.meshgrid(steps, steps, indexing="ij")
        offsets.append(torch.stack([x.flatten(), y.flatten()], dim=1))
    return centre[:, :, None] + size[:, :, None] * torch.cat(offsets)


def read_points(
    level: Float[Tensor, "image channel rows columns"],
    points: Float[Tensor, "image box point 2"],
    stride: int,
) -> Float[Tensor, "image box feature"]:
    """Values of a map at points in pixels, interpolated linearly between the centres of cells; 0 outside."""
    # grid_sample counts from -1 at the outer edge of the first cell to 1 at that of the last
    x, y = points[..., 0] * (2 / (level.shape[3] * stride)), points[..., 1] * (2 / (level.shape[2] * stride))
    grid = torch.stack([x, y], dim=-1) - 1
    values = F.grid_sample(level, grid, padding_mode="zeros", align_corners=False)
    return values.permute(0, 2, 3, 1).flatten(2)
