"""IoU and non-maximum suppression: cases by hand, a plain loop that must agree, a promised speed."""

import time

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from crface.boxes import iou, nms


def boxes(*rows: tuple[float, float, float, float]) -> torch.Tensor:
    return torch.tensor(rows, dtype=torch.float32).reshape(-1, 4)


def plain_nms(boxes_xyxy: torch.Tensor, scores: torch.Tensor, iou_threshold: float) -> list[int]:
    # compared in single precision, where 4 / 10 is the threshold 0.4 and not above it
    suppresses = (iou(boxes_xyxy, boxes_xyxy) > iou_threshold).tolist()
    kept: list[int] = []
    for candidate in sorted(range(len(boxes_xyxy)), key=lambda i: (-float(scores[i]), i)):
        if not any(suppresses[better][candidate] for better in kept):
            kept.append(candidate)
    return kept


# few distinct coordinates and scores: ties, equal boxes, boxes without area and inverted ones all occur
_COORDINATES = st.integers(0, 12).map(float)
_SCORES = st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0])


@st.composite
def scored_boxes(draw: st.DrawFn) -> tuple[torch.Tensor, torch.Tensor]:
    count = draw(st.integers(0, 40))
    rows = draw(hnp.arrays(np.float32, (count, 4), elements=_COORDINATES))
    scores = draw(hnp.arrays(np.float32, count, elements=_SCORES))
    return torch.from_numpy(rows), torch.from_numpy(scores)


def test_iou_is_intersection_over_union_in_continuous_coordinates() -> None:
    # two 10 x 10 squares that share half: 50 / (100 + 100 - 50)
    assert iou(boxes((0, 0, 10, 10)), boxes((5, 0, 15, 10), (0, 0, 10, 10), (10, 0, 20, 10))).tolist() == [
        [pytest.approx(1 / 3), 1.0, 0.0]
    ]


def test_iou_has_a_row_per_box_of_the_first_and_a_column_per_box_of_the_second() -> None:
    assert iou(torch.zeros(0, 4), torch.ones(3, 4)).shape == (0, 3)
    assert iou(torch.ones(3, 4), torch.zeros(0, 4)).shape == (3, 0)


@pytest.mark.parametrize("degenerate", [(3, 3, 3, 3), (3, 3, 3, 8), (8, 8, 3, 3), (8, 2, 3, 6)])
def test_a_box_without_area_overlaps_nothing_not_even_itself(degenerate: tuple[int, int, int, int]) -> None:
    flat = boxes(degenerate)
    assert iou(flat, torch.cat([flat, boxes((0, 0, 10, 10))])).tolist() == [[0.0, 0.0]]


def test_iou_of_half_precision_boxes_does_not_overflow() -> None:
    large = boxes((0, 0, 4000, 4000)).half()
    assert iou(large, boxes((0, 0, 4000, 2000)).half()).item() == 0.5


def test_iou_leaves_its_arguments_as_they_were() -> None:
    a = boxes((0, 0, 10, 10), (5, 0, 15, 10))
    before = a.clone()
    iou(a, a)
    assert torch.equal(a, before)


def test_of_two_overlapping_boxes_the_better_one_is_kept() -> None:
    kept = nms(boxes((0, 0, 10, 10), (1, 0, 11, 10), (50, 50, 60, 60)), torch.tensor([0.5, 0.9, 0.7]))
    assert kept.tolist() == [1, 2]


def test_a_box_that_only_a_suppressed_box_overlaps_is_kept() -> None:
    # neighbours overlap by 7 / 13, the outer two by 4 / 16: the middle one goes, and its say over the third
    chain = boxes((0, 0, 10, 10), (3, 0, 13, 10), (6, 0, 16, 10))
    assert nms(chain, torch.tensor([0.9, 0.8, 0.7]), 0.4).tolist() == [0, 2]


@pytest.mark.parametrize("num_between", [0, 126, 127, 500])
@pytest.mark.parametrize("tenths", range(1, 10))
def test_overlap_of_exactly_the_threshold_suppresses_nothing(tenths: int, num_between: int) -> None:
    elsewhere = [(20.0 * i, 50.0, 20.0 * i + 10, 60.0) for i in range(num_between)]
    both = boxes((0, 0, 10, 10), *elsewhere, (0, 0, 10, tenths))
    scores = torch.linspace(1, 0, len(both))
    assert nms(both, scores, tenths / 10).tolist() == list(range(num_between + 2))
    assert nms(both, scores, tenths / 10 - 0.01).tolist() == list(range(num_between + 1))


def test_equal_scores_are_ordered_by_index() -> None:
    same = boxes(*[(0, 0, 10, 10)] * 3, (20, 0, 30, 10))
    assert nms(same, torch.full((4,), 0.5)).tolist() == [0, 3]


def test_no_boxes_and_one_box() -> None:
    none = nms(torch.zeros(0, 4), torch.zeros(0))
    assert none.shape == (0,)
    assert none.dtype == torch.int64
    assert nms(boxes((1, 1, 1, 1)), torch.zeros(1)).tolist() == [0]


@given(scored_boxes(), st.sampled_from([0.0, 0.2, 0.4, 0.5]))
@settings(max_examples=200, deadline=None)
def test_nms_gives_what_the_plain_loop_gives(
    case: tuple[torch.Tensor, torch.Tensor], iou_threshold: float
) -> None:
    assert nms(*case, iou_threshold).tolist() == plain_nms(*case, iou_threshold)


@pytest.mark.parametrize("count", [127, 128, 129, 700, 1500])
def test_nms_gives_what_the_plain_loop_gives_across_its_inner_blocks(count: int) -> None:
    generator = torch.Generator().manual_seed(count)
    corners = torch.rand(count, 2, generator=generator) * 120
    crowd = torch.cat([corners, corners + 5 + torch.rand(count, 2, generator=generator) * 30], dim=1)
    scores = torch.randint(0, 50, (count,), generator=generator) / 50
    assert nms(crowd, scores).tolist() == plain_nms(crowd, scores, 0.4)


def test_a_long_chain_of_boxes_that_suppress_one_another_is_settled_exactly() -> None:
    # each overlaps its neighbour alone above 0.4: every second one is kept, and the last hangs on the first
    start = torch.arange(300.0)[:, None] * 4
    chain = torch.cat([start, start * 0, start + 10, start * 0 + 10], dim=1)
    assert nms(chain, torch.linspace(1, 0, 300)).tolist() == list(range(0, 300, 2))


def test_5000_boxes_take_a_fraction_of_a_second() -> None:
    generator = torch.Generator().manual_seed(0)
    corners = torch.rand(5000, 2, generator=generator) * 600
    crowd = torch.cat([corners, corners + 5 + torch.rand(5000, 2, generator=generator) * 60], dim=1)
    scores = torch.rand(5000, generator=generator)
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        nms(crowd, scores)
        seconds.append(time.perf_counter() - start)
    assert min(seconds) < 0.5  # 0.03 s on an idle core; the plain loop needs ten seconds
