"""Which boxes overlap a box most, and what they say about it without a look at the picture."""

from dataclasses import dataclass

import torch
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
    first where there are more than `num_heard`; padding overlaps nothing. Memory is bounded, time grows with N
    times `num_heard`. Boxes of equal confidence are not ahead of each other, so the order of rows that
    are heard decides nothing.
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
    num_boxes, heard = len(rows), corners[:num_heard]
    confidence = rows[:num_heard, 4]
    step = max(1, _MAX_PAIRS // max(1, len(heard)))
    parts = []
    for start in range(0, max(1, num_boxes), step):
        block = slice(start, start + step)
        overlap = iou(corners[block], heard)
        own = torch.arange(start, max(start, min(start + step, len(heard))), device=rows.device)
        overlap[own - start, own] = 0  # not its own neighbour
        lead = logit[:num_heard] - logit[block, None]
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
        best = overlap.topk(min(NUM_NEIGHBOURS, len(heard)), dim=1)
        parts.append((best.values, best.indices, features))
    return (
        torch.cat([overlap for overlap, _, _ in parts]),
        torch.cat([neighbour for _, neighbour, _ in parts]),
        torch.cat([feature for _, _, feature in parts]),
    )


def _highest(values: Tensor) -> Tensor:
    return values.amax(dim=1) if values.shape[1] else values.new_zeros(len(values))
