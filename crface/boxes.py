"""How boxes overlap, and which of them survive non-maximum suppression.

Boxes are `x1 y1 x2 y2` in pixels, continuous coordinates: a box is `x2 - x1` wide (no + 1), and one with
`x2 <= x1` or `y2 <= y1` has no area. Everything runs on any device, in at least single precision.
"""

import torch
from jaxtyping import Float, Int64
from torch import Tensor

_BLOCK = 128
"""Boxes whose order among themselves is settled at a time: more need fewer steps, but more pairs."""

_CPU_PAIRS = (1 << 15) - 1
"""Pairs compared at a time on a CPU. One more, and torch spreads each small step over threads, whose waiting
for each other costs more than they save, most of all where other processes keep the cores busy."""

_GPU_PAIRS = 1 << 24
"""Pairs compared at a time elsewhere, where starting a step is what costs: a few matrices of 64 MiB."""


def iou(a: Float[Tensor, "a 4"], b: Float[Tensor, "b 4"]) -> Float[Tensor, "a b"]:
    """Intersection over union of each box of `a` with each box of `b`, in 0..1; 0 for boxes without area.

    A box without area overlaps nothing, not even itself. Half precision becomes single: areas overflow it.
    """
    precision = torch.promote_types(torch.promote_types(a.dtype, b.dtype), torch.float32)
    # one contiguous run per coordinate: nearly twice as fast on a CPU as reading every fourth number
    a_x1, a_y1, a_x2, a_y2 = a.to(precision).T.contiguous()[:, :, None]
    b_x1, b_y1, b_x2, b_y2 = b.to(precision).T.contiguous()[:, None, :]
    width = torch.minimum(a_x2, b_x2).sub_(torch.maximum(a_x1, b_x1)).clamp_(min=0)
    height = torch.minimum(a_y2, b_y2).sub_(torch.maximum(a_y1, b_y1)).clamp_(min=0)
    intersection = width.mul_(height)
    # a box without area shares nothing with any other, so what its product of sides is does not matter
    union = ((a_x2 - a_x1) * (a_y2 - a_y1) + (b_x2 - b_x1) * (b_y2 - b_y1)).sub_(intersection)
    return intersection.div_(union.clamp_(min=torch.finfo(precision).tiny))


def nms(
    boxes: Float[Tensor, "n 4"], scores: Float[Tensor, " n"], iou_threshold: float = 0.4
) -> Int64[Tensor, " kept"]:
    """Indices of the boxes that greedy suppression keeps, best first; none for no boxes.

    From the highest score down (equal scores: lower index first), a box is kept unless its IoU with a box
    kept before it is above `iou_threshold`. Exact: the plain loop's result, on any device.

    Boxes are settled in blocks. Within one, "kept" is the only solution of `kept[j] = no kept i < j overlaps
    j`, found by repeating that equation until nothing changes: about as often as the longest chain of boxes
    that suppress one another. What a settled block suppresses is left out before the next block begins.
    """
    max_pairs = _CPU_PAIRS if boxes.is_cpu else _GPU_PAIRS
    order = torch.argsort(scores, descending=True, stable=True)
    boxes = boxes[order]
    kept = [order[:0]]
    while len(order) > 0:
        is_kept = _kept_in_block(iou(boxes[:_BLOCK], boxes[:_BLOCK]) > iou_threshold)
        block = boxes[:_BLOCK][is_kept]
        kept.append(order[:_BLOCK][is_kept])
        order, boxes = order[_BLOCK:], boxes[_BLOCK:]
        is_suppressed = [
            (iou(block, later) > iou_threshold).any(dim=0) for later in _cut(boxes, max_pairs // len(block))
        ]
        if is_suppressed:
            survivors = torch.cat(is_suppressed).logical_not().nonzero()[:, 0]
            order, boxes = order.index_select(0, survivors), boxes.index_select(0, survivors)
    return torch.cat(kept)


def _kept_in_block(overlaps: Tensor) -> Tensor:
    """Which boxes of a block, best first, survive each other."""
    position = torch.arange(len(overlaps), device=overlaps.device)
    suppresses = overlaps & (position[:, None] < position)
    kept = ~suppresses.any(dim=0)
    while True:  # the box at position j is right after j rounds at the latest, and stays so
        again = ~(suppresses & kept[:, None]).any(dim=0)
        if torch.equal(again, kept):
            return kept
        kept = again


def _cut(boxes: Tensor, size: int) -> list[Tensor]:
    return [boxes[start : start + size] for start in range(0, len(boxes), size)]
