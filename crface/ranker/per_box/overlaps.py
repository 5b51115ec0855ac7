"""Which boxes overlap a box most, and what they say about it without a look at the picture."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from crface.boxes import iou
from crface.tensor_shapes import RowBatch, ScoreBatch

NUM_NEIGHBOURS = 16
"""Most boxes that a box hears: those of the highest IoU."""

NUM_FEATURES = 4
"""Number of features of a box among the others."""

NUM_PAIR_FEATURES = 7
"""Number of features of a box and one of its neighbours."""

_SAME_FACE = 0.4  # IoU above which NMS takes two boxes for one face (paper 4.2)
_MAX_PAIRS = 1 << 21
_STRIP = 128
_TINY = 1e-6


@dataclass(frozen=True, slots=True)
class Overlaps:
    """The surroundings of every box of a batch."""

    neighbour: Int64[Tensor, "image box neighbour"]
    """Rows of the boxes that overlap it most, best first; any row where there are fewer."""
    is_neighbour: Bool[Tensor, "image box neighbour"]
    """Whether that row does overlap the box."""
    overlap: Float[Tensor, "image box neighbour"]
    """IoU of the box with each neighbour."""
    features: Float[Tensor, "image box feature"]
    """Highest IoU with a more confident box; how far the most confident one on the same face is ahead (in
    logits); the logarithm of 1 + the confidences on the same face, summed; and of all confidences times IoU.
    Sums of confidences rather than counts: the tail of boxes that a detector keeps at confidence 0 is long or
    short for reasons that say nothing about a face."""


@torch.no_grad()
def find_overlaps(rows: RowBatch, logit: ScoreBatch, num_heard: int) -> Overlaps:
    """Overlaps of each box with the first `num_heard` of its image, computed a block of boxes at a time.

    `rows` are x, y, w, h, confidence in shares of the picture (IoU is the same in any unit), highest confidence
    first where there are more than `num_heard`; padding overlaps nothing. Memory is bounded; where there are many
    boxes, each is compared only with those in its strip of the picture. Boxes of equal confidence are not ahead of
    each other, so the order of rows that are heard decides nothing.
    """
    images = [_of_image(*one, num_heard) for one in zip(rows, logit, strict=True)]
    overlap, neighbour, features = (torch.stack(parts) for parts in zip(*images, strict=True))
    return Overlaps(neighbour, overlap > 0, overlap, features)


def pair_features(
    rows: RowBatch, logit: ScoreBatch, overlaps: Overlaps
) -> Float[Tensor, "image box neighbour 7"]:
    """Each neighbour as seen from its box: IoU, offset and size relative to the box, lead in confidence."""
    other = at_rows(torch.cat([rows[..., :4], logit[..., None]], dim=-1), overlaps.neighbour)
    size, other_size = rows[..., None, 2:4].clamp(min=_TINY), other[..., 2:4].clamp(min=_TINY)
    centre, other_centre = rows[..., None, :2] + size / 2, other[..., :2] + other_size / 2
    offset = ((other_centre - centre) / size).clamp(-4, 4)
    ratio = (other_size / size).log().clamp(-4, 4)
    lead = other[..., 4:] - logit[..., None, None]
    return torch.cat([overlaps.overlap[..., None], offset, ratio, lead / 4, lead.sign()], dim=-1)


def at_rows(
    values: Float[Tensor, "image box value"], index: Int64[Tensor, "image row neighbour"]
) -> Float[Tensor, "image row neighbour value"]:
    """Rows picked from each image: the values of every neighbour."""
    picked = values.gather(1, index.flatten(1)[..., None].expand(-1, -1, values.shape[2]))
    return picked.view(*index.shape, values.shape[2])


def _of_image(rows: Tensor, logit: Tensor, num_heard: int) -> tuple[Tensor, Tensor, Tensor]:
    corners = torch.cat([rows[:, :2], rows[:, :2] + rows[:, 2:4]], dim=1)
    boxes = torch.arange(len(rows), device=rows.device)
    heard = boxes[:num_heard]
    width = min(NUM_NEIGHBOURS, len(heard))
    step = max(1, _MAX_PAIRS // max(1, len(heard)))
    if len(rows) <= step or torch.onnx.is_in_onnx_export():
        parts = [
            _of_block(rows, corners, logit, boxes[start : start + step], heard, width)
            for start in range(0, max(1, len(rows)), step)
        ]
        overlap, neighbour, features = (torch.cat(part) for part in zip(*parts, strict=True))
        return overlap, neighbour, features
    # Boxes side by side in the picture: only those heard that reach into their strip can overlap one of them.
    order = corners[:, 0].argsort(stable=True)
    parts = []
    for block in order.split(min(step, _STRIP)):
        left, right = corners[block, 0].amin(), corners[block, 2].amax()
        is_near = (corners[:num_heard, 0] < right) & (corners[:num_heard, 2] > left)
        parts.append(_of_block(rows, corners, logit, block, heard[is_near], width))
    back = order.argsort()
    overlap, neighbour, features = (torch.cat(part)[back] for part in zip(*parts, strict=True))
    return overlap, neighbour, features


def _of_block(
    rows: Tensor, corners: Tensor, logit: Tensor, block: Tensor, near: Tensor, width: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Overlaps, neighbours and features of the boxes `block`, of which `near` are all that any of them overlaps."""
    overlap = iou(corners[block], corners[near])
    overlap = overlap * (block[:, None] != near)  # not its own neighbour
    confidence = rows[near, 4]
    lead = logit[near] - logit[block, None]
    is_same = overlap > _SAME_FACE
    features = torch.stack(
        [
            _highest(overlap * (lead > 0)),
            _highest(lead.clamp(min=0) * is_same) / 4,
            (is_same.to(overlap.dtype) @ confidence).log1p(),
            (overlap @ confidence).log1p(),
        ],
        dim=1,
    )
    best = overlap.topk(min(width, len(near)), dim=1)
    missing = (0, width - best.values.shape[1])
    return F.pad(best.values, missing), F.pad(near[best.indices], missing), features


def _highest(values: Tensor) -> Tensor:
    return values.amax(dim=1) if values.shape[1] else values.new_zeros(len(values))
