"""How boxes overlap, which of them survive non-maximum suppression, and how several become one.

Boxes are `x1 y1 x2 y2` in pixels, continuous coordinates: a box is `x2 - x1` wide (no + 1), and one with
`x2 <= x1` or `y2 <= y1` has no area. Everything runs on any device, in at least single precision.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

_BLOCK = 128
"""Boxes whose order among themselves is settled at a time: more need fewer steps, but more pairs; at most 255, as their
places are counted in bytes."""

CPU_PAIRS = (1 << 15) - 1
"""Pairs compared at a time on a CPU. One more, and torch spreads each small step over threads, whose waiting for
each other costs more than they save, most of all where other processes or a loader's threads keep the cores busy."""

_GPU_PAIRS = 1 << 24
"""Pairs compared at a time elsewhere, where starting a step is what costs: a few matrices of 64 MiB."""


def iou(a: Float[Tensor, "*image a 4"], b: Float[Tensor, "*image b 4"]) -> Float[Tensor, "*image a b"]:
    """Intersection over union of each box of `a` with each box of `b`, in 0..1; 0 for boxes without area.

    A box without area overlaps nothing, not even itself. Half precision becomes single: areas overflow it.
    """
    precision = torch.promote_types(torch.promote_types(a.dtype, b.dtype), torch.float32)
    # one contiguous run per coordinate: nearly twice as fast on a CPU as reading every fourth number;
    # the axis is counted from the front because the ONNX exporter does not know it from the back
    a_x1, a_y1, a_x2, a_y2 = a.to(precision).movedim(a.dim() - 1, 0).contiguous()[..., :, None]
    b_x1, b_y1, b_x2, b_y2 = b.to(precision).movedim(b.dim() - 1, 0).contiguous()[..., None, :]
    width = torch.minimum(a_x2, b_x2).sub_(torch.maximum(a_x1, b_x1)).clamp_(min=0)
    height = torch.minimum(a_y2, b_y2).sub_(torch.maximum(a_y1, b_y1)).clamp_(min=0)
    intersection = width.mul_(height)
    # a box without area shares nothing with any other, so what its product of sides is does not matter
    union = ((a_x2 - a_x1) * (a_y2 - a_y1) + (b_x2 - b_x1) * (b_y2 - b_y1)).sub_(intersection)
    return intersection.div_(union.clamp_(min=torch.finfo(precision).tiny))


def nms(
    boxes_xyxy: Float[Tensor, "n 4"], scores: Float[Tensor, " n"], iou_threshold: float = 0.4
) -> Int64[Tensor, " kept"]:
    """Indices of the boxes that greedy suppression keeps, best first; none for no boxes.

    From the highest score down (equal scores: lower index first), a box is kept unless its IoU with a box
    kept before it is above `iou_threshold`. Exact: the plain loop's result, on any device.
    """
    return nms_batch([boxes_xyxy], [scores], iou_threshold)[0]


def nms_batch(
    boxes_xyxy: Sequence[Float[Tensor, "_ 4"]],
    scores: Sequence[Float[Tensor, " _"]],
    iou_threshold: float = 0.4,
) -> list[Int64[Tensor, " _"]]:
    """`nms` of several images in the steps of one, which is what counts on a GPU; the results are the same."""
    orders = [torch.argsort(one, descending=True, stable=True) for one in scores]
    ranked = [boxes[order] for boxes, order in zip(boxes_xyxy, orders, strict=True)]
    return [
        order[leaders == torch.arange(len(order), device=order.device)]
        for order, leaders in zip(orders, _leaders(ranked, iou_threshold), strict=True)
    ]


def box_voting(
    boxes_xyxy: Float[Tensor, "n 4"], scores: Float[Tensor, " n"], iou_threshold: float = 0.4
) -> tuple[Float[Tensor, "kept 4"], Float[Tensor, " kept"]]:
    """Boxes that are the mean of each cluster, weighted by score, with the cluster's best score; best first.

    From the highest score down (equal scores: lower index first), the best box left founds a cluster, and
    every box left whose IoU with it is above `iou_threshold` joins and is used up. So there is one box
    for each that `nms` keeps, with its score; a box that nobody joins stays as it is, and negative scores
    weigh nothing. No boxes give none.

    Gidaris and Komodakis (2015), section 4 "bounding box voting", read as RetinaFace's test code does
    (`bbox_vote`): there a box votes for every survivor that it overlaps, here for the best one alone. Unlike
    that code, overlaps are in continuous coordinates, one of exactly the threshold does not join (as in `nms`),
    and boxes seen once are not dropped.
    """
    return box_voting_batch([boxes_xyxy], [scores], iou_threshold)[0]


def box_voting_batch(
    boxes_xyxy: Sequence[Float[Tensor, "_ 4"]],
    scores: Sequence[Float[Tensor, " _"]],
    iou_threshold: float = 0.4,
) -> list[tuple[Float[Tensor, "_ 4"], Float[Tensor, " _"]]]:
    """`box_voting` of several images in the steps of one, which is what counts on a GPU; the same results."""
    orders = [torch.argsort(one, descending=True, stable=True) for one in scores]
    ranked = [boxes[order] for boxes, order in zip(boxes_xyxy, orders, strict=True)]
    return [
        _voted(boxes, one[order], leaders)
        for boxes, one, order, leaders in zip(
            ranked, scores, orders, _leaders(ranked, iou_threshold), strict=True
        )
    ]


def soft_nms(
    boxes_xyxy: Float[Tensor, "n 4"],
    scores: Float[Tensor, " n"],
    sigma: float = 0.5,
    min_score: float = 0.001,
) -> tuple[Int64[Tensor, " kept"], Float[Tensor, " kept"]]:
    """Indices of the boxes left by Gaussian soft-NMS with their lowered scores, best first; none for no boxes.

    The best box left (equal scores: lower index first) is kept, and each score left is multiplied by
    exp(-IoU^2 / sigma), until all that are left are below `min_score` (positive). Bodla et al. (2017), equation 2.

    One step a kept box: for thousands of boxes a tool for comparisons, not for speed.
    """
    left = scores.to(torch.promote_types(scores.dtype, torch.float32), copy=True)
    kept, kept_scores = [], []
    for _ in range(len(left)):
        score, best = left.max(dim=0)
        if not score >= min_score:
            break
        kept.append(best)
        kept_scores.append(score)
        left *= torch.exp(-(iou(boxes_xyxy[best][None], boxes_xyxy)[0] ** 2) / sigma)
        left[best] = -torch.inf
    if not kept:
        return torch.zeros(0, dtype=torch.int64, device=scores.device), scores[:0]
    return torch.stack(kept), torch.stack(kept_scores).to(scores.dtype)


def _leaders(ranked: Sequence[Tensor], iou_threshold: float) -> list[Tensor]:
    """For each box of each image, boxes best first: the position of the kept box that it belongs to.

    That is the first kept box that overlaps it; a kept box belongs to itself.

    Boxes are settled in blocks. Within one, "kept" is the only solution of `kept[j] = no kept i < j overlaps
    j`, found by repeating that equation until nothing changes: about as often as the longest chain of boxes
    that suppress one another. What a settled block suppresses is left out before the next block begins.
    Images with fewer boxes than others are filled up with boxes without area at the position `nowhere`.
    """
    if not ranked:
        return []
    device = ranked[0].device
    counts = torch.tensor([len(boxes) for boxes in ranked], device=device)
    boxes = pad_sequence(list(ranked), batch_first=True)
    nowhere = boxes.shape[1]
    positions = torch.arange(nowhere, device=device).expand(len(ranked), -1)
    positions = torch.where(positions < counts[:, None], positions, nowhere)
    leaders = torch.empty((len(ranked), nowhere + 1), dtype=torch.int64, device=device)
    max_pairs = CPU_PAIRS if boxes.is_cpu else _GPU_PAIRS
    while boxes.shape[1] > 0:
        block, block_positions = boxes[:, :_BLOCK], positions[:, :_BLOCK]
        boxes, positions = boxes[:, _BLOCK:], positions[:, _BLOCK:]
        is_kept, first = _settled(iou(block, block) > iou_threshold)
        leaders.scatter_(1, block_positions, block_positions.gather(1, first))
        block, block_positions = _compacted(is_kept, block, block_positions, nowhere)
        columns = max(1, max_pairs // (len(ranked) * block.shape[1]))
        found = [
            _first(iou(block, boxes[:, start : start + columns]) > iou_threshold)
            for start in range(0, boxes.shape[1], columns)
        ]
        if boxes.shape[1] > 0:
            is_suppressed = torch.cat([overlaps for overlaps, _ in found], dim=1)
            first = torch.cat([which for _, which in found], dim=1)
            leaders.scatter_(
                1, torch.where(is_suppressed, positions, nowhere), block_positions.gather(1, first)
            )
            is_left = ~is_suppressed & (positions < nowhere)
            boxes, positions = _compacted(is_left, boxes, positions, nowhere)
    return [row[: len(one)] for row, one in zip(leaders, ranked, strict=True)]


def _settled(overlaps: Bool[Tensor, "image n n"]) -> tuple[Bool[Tensor, "image n"], Int64[Tensor, "image n"]]:
    """Which boxes of a block, best first, survive each other, and the first survivor that each belongs to."""
    position = torch.arange(overlaps.shape[1], device=overlaps.device)
    suppresses = overlaps & (position[:, None] < position)
    kept = ~suppresses.any(dim=1)
    while True:  # the box at position j is right after j rounds at the latest, and stays so
        by_kept = suppresses & kept[:, :, None]
        again = ~by_kept.any(dim=1)
        if torch.equal(again, kept):
            break
        kept = again
    return kept, torch.where(kept, position, _first(by_kept)[1])


def _first(
    overlaps: Bool[Tensor, "image block box"],
) -> tuple[Bool[Tensor, "image box"], Int64[Tensor, "image box"]]:
    """Which boxes some box of a block overlaps, and the first, the best, that does; the last where none does."""
    number = overlaps.shape[1]
    # `max` would name the first too, but calls torch's other threads however little there is to do
    backwards = torch.arange(number, 0, -1, dtype=torch.uint8, device=overlaps.device)
    found = (overlaps * backwards[:, None]).amax(dim=1)
    return found > 0, (number - found.long()).clamp_(max=number - 1)


def _compacted(is_left: Tensor, boxes: Tensor, positions: Tensor, nowhere: int) -> tuple[Tensor, Tensor]:
    """Move what is left of each image to the front, in order, and cut what no image needs."""
    num_left = is_left.sum(dim=1)
    width = int(num_left.max())
    slots = torch.where(is_left, is_left.cumsum(dim=1) - 1, width)
    new_boxes = boxes.new_zeros((len(boxes), width + 1, 4))
    new_boxes.scatter_(1, slots[..., None].expand(-1, -1, 4), boxes)
    new_positions = positions.new_full((len(boxes), width + 1), nowhere).scatter_(1, slots, positions)
    return new_boxes[:, :width], new_positions[:, :width]


def _voted(boxes: Tensor, scores: Tensor, leaders: Tensor) -> tuple[Tensor, Tensor]:
    """Mean of each cluster; boxes best first. Sums run over sorted members, so they do not depend on timing."""
    if len(boxes) == 0:  # segment_reduce refuses to sum nothing
        return boxes, scores
    is_kept = leaders == torch.arange(len(leaders), device=leaders.device)
    order = torch.argsort(leaders, stable=True)
    num_members = torch.unique_consecutive(leaders[order], return_counts=True)[1]
    weights = scores[order].double().clamp(min=0)[:, None]
    sums = torch.segment_reduce(
        torch.cat([weights * boxes[order].double(), weights], dim=1), "sum", lengths=num_members
    )
    weighted = sums[:, :4] / sums[:, 4:]
    # a cluster of scores 0 has no weights to average with: its first box stands for it
    means = torch.where(sums[:, 4:] > 0, weighted, boxes[is_kept].double())
    return means.to(boxes.dtype), scores[is_kept]
