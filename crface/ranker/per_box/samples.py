"""What a box looks like: picture features at a grid of points in it and around it."""

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor, nn

from crface.backbones.pointwise import Pointwise
from crface.ranker.per_box.trunk import CHANNELS, STRIDES
from crface.ranker.per_box.weighted_sums import weighted_sums

GRIDS = ((5, 1.0), (3, 2.0))
"""Points a side, and the side of the grid in sides of the box: the face, and what is around it."""

NUM_POINTS = sum(side * side for side, _ in GRIDS)
"""Number of points of a box."""

_SQUEEZED = 32


class BoxSampler(nn.Module):
    """`width` features of each box, from all three maps.

    The maps are first squeezed to 32 channels. Every map is read for every box, bilinearly at the points of both grids
    and as zero outside the picture. For a small face the finest map tells most; for a large one, whose points lie far
    apart on it, the coarser maps do. The next layer weighs them.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.squeeze = nn.ModuleList(Pointwise(CHANNELS, _SQUEEZED, bias=True) for _ in STRIDES)
        self.project = nn.Linear(len(STRIDES) * NUM_POINTS * _SQUEEZED, width)
        self.norm = nn.LayerNorm(width)

    def squeezed(
        self, levels: list[Float[Tensor, "image channel _ _"]]
    ) -> list[Float[Tensor, "image 32 _ _"]]:
        """The maps to read boxes from."""
        return [conv(level) for conv, level in zip(self.squeeze, levels, strict=True)]

    def forward(
        self, squeezed: list[Float[Tensor, "image 32 _ _"]], boxes_xywh: Float[Tensor, "image box 4"]
    ) -> Float[Tensor, "image box feature"]:
        """Features read from the maps (finest first) at boxes given by upper left corner and size, in pixels."""
        features: Tensor = self.norm(self.project(read_boxes(squeezed, boxes_xywh)))
        return F.relu(features)


def read_boxes(
    levels: list[Float[Tensor, "image channel _ _"]], boxes_xywh: Float[Tensor, "image box 4"]
) -> Float[Tensor, "image box feature"]:
    """Values of all maps at the points of both grids of each box, in the order map, point, channel.

    As `read_points` reads them, to a rounding: a weighted sum of four cells each. Here the cells of all maps are the
    rows of one table, and the sums of all points are made in one step.
    """
    if (
        torch.onnx.is_in_onnx_export()
    ):  # ONNX has bilinear reading as an operator, but no weighted sums of rows
        points = grid_points(boxes_xywh)
        read = [read_points(level, points, stride) for level, stride in zip(levels, STRIDES, strict=True)]
        return torch.cat(read, dim=2)
    table = torch.cat([level.permute(0, 2, 3, 1).flatten(0, 2) for level in levels]).float()
    sums = weighted_sums(table, *_cells(levels, boxes_xywh))
    return sums.view(*boxes_xywh.shape[:2], len(levels) * NUM_POINTS * table.shape[1])


def grid_points(boxes_xywh: Float[Tensor, "image box 4"]) -> Float[Tensor, "image box point 2"]:
    """The points x, y of both grids: the centres of equal cells of the box, or of twice the box."""
    at_x, at_y = _ticks_of_points(boxes_xywh.device)
    ticks = _ticks(boxes_xywh)
    return torch.stack([ticks[..., at_x, 0], ticks[..., at_y, 1]], dim=-1)


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


def _ticks(boxes_xywh: Float[Tensor, "image box 4"]) -> Float[Tensor, "image box tick 2"]:
    """Where both grids cross the axes x and y; a grid's points have all pairs of its ticks."""
    centre, size = boxes_xywh[..., :2] + boxes_xywh[..., 2:] / 2, boxes_xywh[..., 2:]
    steps = [
        ((torch.arange(side, device=boxes_xywh.device) + 0.5) / side - 0.5) * scale for side, scale in GRIDS
    ]
    return centre[:, :, None] + size[:, :, None] * torch.cat(steps)[:, None]


def _ticks_of_points(device: torch.device) -> tuple[Int64[Tensor, " point"], Int64[Tensor, " point"]]:
    """Which ticks are the x and the y of each point."""
    at_x, at_y, first = [], [], 0
    for side, _ in GRIDS:
        own = torch.arange(first, first + side, device=device)
        at_x.append(own.repeat(side))
        at_y.append(own.repeat_interleave(side))
        first += side
    return torch.cat(at_x), torch.cat(at_y)


@torch.no_grad()
def _cells(
    levels: list[Tensor], boxes_xywh: Float[Tensor, "image box 4"]
) -> tuple[Int64[Tensor, "sum 4"], Float[Tensor, "sum 4"]]:
    """Rows of the table of all maps that each value is made of, and their weights: 0 outside of a map."""
    at_x, at_y = _ticks_of_points(boxes_xywh.device)
    # of every point the four cells around it: upper left, upper right, lower left, lower right
    corner = torch.arange(2, device=boxes_xywh.device)
    at_x, at_y = (
        (2 * at_x[:, None] + corner.repeat(2)).flatten(),
        (2 * at_y[:, None] + corner.repeat_interleave(2)).flatten(),
    )
    ticks = _ticks(boxes_xywh)
    image = torch.arange(len(boxes_xywh), device=boxes_xywh.device)[:, None, None]
    rows, weights, first = [], [], 0
    for level, stride in zip(levels, STRIDES, strict=True):
        num_rows, num_columns = level.shape[2:]
        (x, weight_x), (y, weight_y) = (
            _pairs(ticks[..., axis] / stride - 0.5, count)
            for axis, count in ((0, num_columns), (1, num_rows))
        )
        row_starts = first + (image * num_rows + y) * num_columns
        rows.append(row_starts.index_select(2, at_y) + x.index_select(2, at_x))
        weights.append(weight_y.index_select(2, at_y) * weight_x.index_select(2, at_x))
        first += len(level) * num_rows * num_columns
    return torch.stack(rows, dim=2).view(-1, 4), torch.stack(weights, dim=2).view(-1, 4)


def _pairs(
    position: Float[Tensor, "image box tick"], count: int
) -> tuple[Int64[Tensor, "image box cell"], Float[Tensor, "image box cell"]]:
    """The two of `count` cells between whose centres each position (in cells) lies, and the share of each."""
    position = position.clamp(-1, count)  # beyond, no cell is near, however far it is
    before = position.floor()
    after_share = position - before
    cell = before.long()[..., None] + torch.arange(2, device=position.device)
    share = torch.stack([1 - after_share, after_share], dim=-1)
    share = share * ((cell >= 0) & (cell < count))
    return cell.clamp(0, count - 1).flatten(2), share.flatten(2)
