"""Prior boxes (anchors), with the code that turns boxes into offsets from them and back.

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
_MAX_CACHED_SIZES = 16  # a prior set of an 8K image is 22 MB; photographs of one folder share few sizes


@dataclass(frozen=True, slots=True)
class PriorLayout:
    """Which square priors lie around the centre of each cell of each map, finest map first."""

    strides_px: tuple[int, ...]
    sides_px: tuple[tuple[int, ...], ...]
    """For each stride, the sides of the priors of one cell; every cell has equally many."""

    @property
    def priors_per_cell(self) -> int:
        """How many priors share a centre."""
        return len(self.sides_px[0])


RETINAFACE_LAYOUT: Final = PriorLayout((8, 16, 32), ((16, 32), (64, 128), (256, 512)))
"""Two priors a cell on three maps (Deng et al. 2019, section 4.2, as the published checkpoints have them)."""
HAMBOX_LAYOUT: Final = PriorLayout((4, 8, 16, 32, 64, 128), ((16,), (32,), (64,), (128,), (256,), (512,)))
"""One prior a cell on six maps, P2 to P7 (HAMBox, Liu et al. 2020, section 4.1)."""


def make_priors(
    height: int, width: int, layout: PriorLayout = RETINAFACE_LAYOUT, device: str | torch.device = "cpu"
) -> Float[Tensor, "prior 4"]:
    """Make the priors of an image on a device, row by row, finest stride first; at least one cell a stride.

    `height` and `width` are pixels; a map has ceil(side / stride) cells, the centre of cell j is (j + 0.5)
    * stride.
    """
    levels = []
    for stride, sides in zip(layout.strides_px, layout.sides_px, strict=True):
        # float64 until the end: at 8K the products are exact, and the result is rounded once
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
    """Give `make_priors` on a device; the sets of the last few image sizes are kept. Not to be written to."""
    return make_priors(height, width, layout, device)


def decode_boxes(offsets: Float[Tensor, "*n 4"], priors: Float[Tensor, "*n 4"]) -> Float[Tensor, "*n 4"]:
    """Turn offsets into boxes xyxy, relative to the image; zero offsets give the priors themselves.

    No side becomes longer than a thousand times the prior's, whatever an untrained network says.
    """
    centres = priors[..., :2] + offsets[..., :2] * CENTRE_VARIANCE * priors[..., 2:]
    sizes = priors[..., 2:] * torch.exp((offsets[..., 2:] * SIZE_VARIANCE).clamp(max=_MAX_LOG_SCALE))
    top_left = centres - sizes / 2
    return torch.cat([top_left, top_left + sizes], dim=-1)


def decode_points(
    offsets: Float[Tensor, "*n point 2"], priors: Float[Tensor, "*n 4"]
) -> Float[Tensor, "*n point 2"]:
    """Turn offsets into points (x, y), relative to the image; zero offsets give the centres of the priors."""
    return priors[..., None, :2] + offsets * CENTRE_VARIANCE * priors[..., None, 2:]


def encode_points(
    points: Float[Tensor, "*n point 2"], priors: Float[Tensor, "*n 4"]
) -> Float[Tensor, "*n point 2"]:
    """Turn points (relative) into the offsets that `decode_points` undoes."""
    return (points - priors[..., None, :2]) / (CENTRE_VARIANCE * priors[..., None, 2:])


def encode_boxes(boxes_xyxy: Float[Tensor, "*n 4"], priors: Float[Tensor, "*n 4"]) -> Float[Tensor, "*n 4"]:
    """Turn boxes (relative, positive width and height) into the offsets that `decode_boxes` undoes."""
    centres = (boxes_xyxy[..., :2] + boxes_xyxy[..., 2:]) / 2
    sizes = boxes_xyxy[..., 2:] - boxes_xyxy[..., :2]
    shifts = (centres - priors[..., :2]) / (priors[..., 2:] * CENTRE_VARIANCE)
    return torch.cat([shifts, torch.log(sizes / priors[..., 2:]) / SIZE_VARIANCE], dim=-1)


def _numbered(count: int, device: str | torch.device) -> Float[Tensor, " count"]:
    return torch.arange(count, dtype=torch.float64, device=device)
