"""Prior boxes (anchors), and the encoding of boxes and points as offsets from them.

RetinaFace (Deng et al. 2019), section 4.2; SSD (Liu et al. 2016), section 2.2 for the offsets. Priors are
relative to the image: (centre x, centre y, width, height), each divided by the image's width or height.
"""

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import torch
from jaxtyping import Float
from torch import Tensor

CENTRE_VARIANCE = 0.1
SIZE_VARIANCE = 0.2
_MAX_LOG_SCALE = math.log(1000)
_MAX_CACHED_SIZES = 16  # the priors of an 8K image take 22 MB; the photographs in a folder share few sizes


@dataclass(frozen=True, slots=True)
class PriorLayout:
    """The square priors around the centre of each cell of each map, finest map first."""

    strides_px: tuple[int, ...]
    sides_px: tuple[tuple[int, ...], ...]
    """The sides of the priors of one cell for each stride; every cell has the same number."""

    @property
    def priors_per_cell(self) -> int:
        """The number of priors that share a centre."""
        return len(self.sides_px[0])


RETINAFACE_LAYOUT: Final = PriorLayout((8, 16, 32), ((16, 32), (64, 128), (256, 512)))
"""Two priors per cell on three maps (Deng et al. 2019, section 4.2, as in the published checkpoints)."""
HAMBOX_LAYOUT: Final = PriorLayout((4, 8, 16, 32, 64, 128), ((16,), (32,), (64,), (128,), (256,), (512,)))
"""One prior per cell on six maps, P2 to P7 (HAMBox, Liu et al. 2020, section 4.1)."""


def make_priors(
    height: int, width: int, layout: PriorLayout = RETINAFACE_LAYOUT, device: str | torch.device = "cpu"
) -> Float[Tensor, "prior 4"]:
    """The priors of an image on a device, row by row, finest stride first; at least one cell per stride.

    `height` and `width` are pixels; a map has ceil(side / stride) cells, and the centre of cell j is
    (j + 0.5) * stride.
    """
    levels = []
    for stride, sides in zip(layout.strides_px, layout.sides_px, strict=True):
        # float64 until the end: the products are exact even at 8K, and the result is rounded once
        rows = (_numbered(-(-height // stride), device) + 0.5) * stride / height
        columns = (_numbered(-(-width // stride), device) + 0.5) * stride / width
        sizes = torch.tensor(
            [[side / width, side / height] for side in sides], dtype=torch.float64, device=device
        )
        cells = torch.stack(torch.meshgrid(columns, rows, indexing="xy"), dim=-1)
        centres = cells[:, :, None].expand(-1, -1, len(sides), -1)
        level = torch.cat([centres, sizes.expand_as(centres)], dim=-1)
        levels.append(level.reshape(-1, 4))
    return torch.cat(levels).float()


@lru_cache(maxsize=_MAX_CACHED_SIZES)
def cached_priors(
    height: int, width: int, layout: PriorLayout, device: torch.device
) -> Float[Tensor, "prior 4"]:
    """`make_priors` on a device, cached for the last few image sizes; must not be modified."""
    return make_priors(height, width, layout, device)


def decode_boxes(offsets: Float[Tensor, "*n 4"], priors: Float[Tensor, "*n 4"]) -> Float[Tensor, "*n 4"]:
    """Boxes xyxy from offsets, relative to the image; for zero offsets, the priors themselves.

    No side becomes longer than a thousand times the prior's, whatever an untrained network outputs.
    """
    centres = priors[..., :2] + offsets[..., :2] * CENTRE_VARIANCE * priors[..., 2:]
    sizes = priors[..., 2:] * torch.exp((offsets[..., 2:] * SIZE_VARIANCE).clamp(max=_MAX_LOG_SCALE))
    top_left = centres - sizes / 2
    return torch.cat([top_left, top_left + sizes], dim=-1)


def decode_points(
    offsets: Float[Tensor, "*n point 2"], priors: Float[Tensor, "*n 4"]
) -> Float[Tensor, "*n point 2"]:
    """Points (x, y) from offsets, relative to the image; for zero offsets, the centres of the priors."""
    return priors[..., None, :2] + offsets * CENTRE_VARIANCE * priors[..., None, 2:]


def encode_points(
    points: Float[Tensor, "*n point 2"], priors: Float[Tensor, "*n 4"]
) -> Float[Tensor, "*n point 2"]:
    """Offsets from points (relative to the image); the inverse of `decode_points`."""
    return (points - priors[..., None, :2]) / (CENTRE_VARIANCE * priors[..., None, 2:])


def encode_boxes(boxes_xyxy: Float[Tensor, "*n 4"], priors: Float[Tensor, "*n 4"]) -> Float[Tensor, "*n 4"]:
    """Offsets from boxes (relative, positive width and height); the inverse of `decode_boxes`."""
    centres = (boxes_xyxy[..., :2] + boxes_xyxy[..., 2:]) / 2
    sizes = boxes_xyxy[..., 2:] - boxes_xyxy[..., :2]
    shifts = (centres - priors[..., :2]) / (priors[..., 2:] * CENTRE_VARIANCE)
    return torch.cat([shifts, torch.log(sizes / priors[..., 2:]) / SIZE_VARIANCE], dim=-1)


def _numbered(count: int, device: str | torch.device) -> Float[Tensor, " count"]:
    return torch.arange(count, dtype=torch.float64, device=device)
