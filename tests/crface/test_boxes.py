"""IoU, suppression and voting: cases by hand, plain loops that must agree, promised speed and memory."""

import itertools
import math
import subprocess
import sys

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from crface.boxes import box_voting, box_voting_batch, iou, nms, nms_batch, soft_nms


def boxes(*rows: tuple[float, float, float, float]) -> torch.Tensor:
    return torch.tensor(rows, dtype=torch.float32).reshape(-1, 4)


def crowd(count: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Give boxes that overlap a lot, with many equal scores."""
    generator = torch.Generator().manual_seed(seed)
    corners = torch.rand(count, 2, generator=generator) * 120
    placed = torch.cat([corners, corners + 5 + torch.rand(count, 2, generator=generator) * 30], dim=1)
    return placed, torch.randint(0, 50, (count,), generator=generator) / 50


def plain_nms(boxes_xyxy: torch.Tensor, scores: torch.Tensor, iou_threshold: float) -> list[int]:
    # compared in single precision, where 4 / 10 is the threshold 0.4 and not above it
    suppresses = (iou(boxes_xyxy, boxes_xyxy) > iou_threshold).tolist()
    kept: list[int] = []
    for candidate in sorted(range(len(boxes_xyxy)), key=lambda i: (-float(scores[i]), i)):
        if not any(suppresses[better][candidate] for better in kept):
            kept.append(candidate)
    return kept


def plain_voting(
    boxes_xyxy: torch.Tensor, scores: torch.Tensor, iou_threshold: float
) -> tuple[list[list[float]], list[float]]:
    joins = (iou(boxes_xyxy, boxes_xyxy) > iou_threshold).tolist()
    rows, values = boxes_xyxy.tolist(), scores.tolist()
    left = sorted(range(len(rows)), key=lambda i: (-values[i], i))
    voted, best_scores = [], []
    while left:
        best = left[0]
        members = [i for i in left if i == best or joins[best][i]]
        total = sum(values[i] for i in members)
        mean = (
            [sum(values[i] * rows[i][c] for i in members) / total for c in range(4)] if total else rows[best]
        )
        voted.append(mean)
        best_scores.append(values[best])
        left = [i for i in left if i not in members]
    return voted, best_scores


def plain_soft_nms(
    boxes_xyxy: torch.Tensor, scores: torch.Tensor, sigma: float, min_score: float
) -> tuple[list[int], list[float]]:
    overlaps = iou(boxes_xyxy, boxes_xyxy).tolist()
    values = dict(enumerate(scores.tolist()))
    kept, kept_scores = [], []
    while values:
        best = max(values, key=lambda i: (values[i], -i))
        score = values.pop(best)
        if score < min_score:
            break
        kept.append(best)
        kept_scores.append(score)
        values = {i: s * math.exp(-(overlaps[best][i] ** 2) / sigma) for i, s in values.items()}
    return kept, kept_scores


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
    case = crowd(count, seed=count)
    assert nms(*case).tolist() == plain_nms(*case, 0.4)


def test_a_long_chain_of_boxes_that_suppress_one_another_is_settled_exactly() -> None:
    # each overlaps its neighbour alone above 0.4: every second one is kept, and the last hangs on the first
    start = torch.arange(300.0)[:, None] * 4
    chain = torch.cat([start, start * 0, start + 10, start * 0 + 10], dim=1)
    assert nms(chain, torch.linspace(1, 0, 300)).tolist() == list(range(0, 300, 2))


@given(st.lists(scored_boxes(), max_size=4))
@settings(max_examples=60, deadline=None)
def test_a_batch_of_images_gives_what_each_image_alone_gives(
    cases: list[tuple[torch.Tensor, torch.Tensor]],
) -> None:
    boxes_xyxy, scores = [case[0] for case in cases], [case[1] for case in cases]
    for kept, case in zip(nms_batch(boxes_xyxy, scores), cases, strict=True):
        assert kept.tolist() == plain_nms(*case, 0.4)
    for voted, case in zip(box_voting_batch(boxes_xyxy, scores), cases, strict=True):
        alone = box_voting(*case)
        assert torch.equal(voted[0], alone[0])
        assert torch.equal(voted[1], alone[1])


def test_images_of_a_batch_may_differ_in_number_by_thousands() -> None:
    crowds = [crowd(count, seed=count) for count in (0, 1, 900, 129, 2000)]
    together = nms_batch([c[0] for c in crowds], [c[1] for c in crowds])
    for kept, (boxes_xyxy, scores) in zip(together, crowds, strict=True):
        assert kept.tolist() == plain_nms(boxes_xyxy, scores, 0.4)


def test_a_voted_box_is_the_mean_weighted_by_score_and_has_the_best_score() -> None:
    # the second overlaps the first by 9 / 11 and joins; the third is alone, and stays as it is
    voted, scores = box_voting(
        boxes((0, 0, 10, 10), (1, 0, 11, 10), (50, 50, 60, 61)), torch.tensor([0.25, 0.75, 0.5])
    )
    assert voted.tolist() == [[0.75, 0, 10.75, 10], [50, 50, 60, 61]]
    assert scores.tolist() == [0.75, 0.5]


def test_a_box_votes_for_the_best_survivor_that_it_overlaps_and_for_no_other() -> None:
    # the middle one overlaps both of its neighbours by 7 / 13; they overlap by 4 / 16
    chain = boxes((0, 0, 10, 10), (3, 0, 13, 10), (6, 0, 16, 10))
    voted, _ = box_voting(chain, torch.tensor([0.5, 0.25, 0.25]))
    assert voted.tolist() == [[1, 0, 11, 10], [6, 0, 16, 10]]


def test_overlap_of_exactly_the_threshold_does_not_vote() -> None:
    both = boxes((0, 0, 10, 10), (0, 0, 10, 4))
    assert torch.equal(box_voting(both, torch.tensor([0.9, 0.8]), 0.4)[0], both)
    assert len(box_voting(both, torch.tensor([0.9, 0.8]), 0.39)[0]) == 1


def test_of_equal_scores_the_first_founds_the_cluster() -> None:
    chain = boxes((0, 0, 10, 10), (3, 0, 13, 10), (6, 0, 16, 10))
    assert box_voting(chain, torch.full((3,), 0.5))[0].tolist() == [[1.5, 0, 11.5, 10], [6, 0, 16, 10]]


def test_scores_of_zero_leave_the_first_box_of_the_cluster() -> None:
    voted, scores = box_voting(boxes((0, 0, 10, 10), (1, 0, 11, 10)), torch.zeros(2))
    assert (voted.tolist(), scores.tolist()) == ([[0, 0, 10, 10]], [0])


def test_voting_on_no_boxes_and_on_one_box() -> None:
    voted, scores = box_voting(torch.zeros(0, 4), torch.zeros(0))
    assert (voted.shape, scores.shape) == ((0, 4), (0,))
    alone = boxes((0.1, 0.2, 10.3, 10.7))
    assert torch.equal(box_voting(alone, torch.tensor([0.3]))[0], alone)


@given(scored_boxes(), st.sampled_from([0.0, 0.2, 0.4, 0.5]))
@settings(max_examples=200, deadline=None)
def test_voting_gives_what_the_plain_loop_gives(
    case: tuple[torch.Tensor, torch.Tensor], iou_threshold: float
) -> None:
    voted, scores = box_voting(*case, iou_threshold)
    expected, expected_scores = plain_voting(*case, iou_threshold)
    np.testing.assert_allclose(voted.numpy(), np.array(expected).reshape(-1, 4), atol=1e-5)
    assert scores.tolist() == expected_scores
    assert torch.equal(scores, case[1][nms(*case, iou_threshold)])


@pytest.mark.parametrize("count", [129, 1500])
def test_voting_gives_what_the_plain_loop_gives_across_its_inner_blocks(count: int) -> None:
    case = crowd(count, seed=count)
    voted, scores = box_voting(*case)
    expected, expected_scores = plain_voting(*case, 0.4)
    np.testing.assert_allclose(voted.numpy(), np.array(expected), atol=1e-3)
    assert scores.tolist() == expected_scores


@given(scored_boxes())
@settings(max_examples=100, deadline=None)
def test_soft_nms_gives_what_the_plain_loop_gives(case: tuple[torch.Tensor, torch.Tensor]) -> None:
    # scores a little apart, or rounding would decide between scores that ought to be equal
    scores = case[1] + torch.arange(len(case[1])) * 0.003
    kept, lowered = soft_nms(case[0], scores, 0.5, 0.05)
    expected, expected_scores = plain_soft_nms(case[0].double(), scores.double(), 0.5, 0.05)
    if all(abs(a - b) > 1e-5 for a, b in itertools.pairwise(expected_scores)):
        assert kept.tolist() == expected
    np.testing.assert_allclose(lowered.numpy(), expected_scores, rtol=1e-4)


def test_soft_nms_lowers_the_score_of_what_overlaps_and_keeps_it() -> None:
    # IoU 1/3: 0.8 becomes 0.8 * exp(-(1/9) / 0.5)
    kept, lowered = soft_nms(boxes((0, 0, 10, 10), (5, 0, 15, 10)), torch.tensor([0.9, 0.8]))
    assert kept.tolist() == [0, 1]
    assert lowered.tolist() == [pytest.approx(0.9), pytest.approx(0.8 * math.exp(-2 / 9))]
    assert soft_nms(torch.zeros(0, 4), torch.zeros(0))[0].tolist() == []


def test_50000_boxes_are_suppressed_and_voted_on() -> None:
    # 500 places far apart with 100 boxes each, shifted by up to 1 px of 100: each place is one cluster
    generator = torch.Generator().manual_seed(0)
    place = torch.arange(500).repeat(100)[:, None] * 200.0
    corner = torch.cat([place, torch.zeros_like(place)], dim=1) + torch.rand(50_000, 2, generator=generator)
    piles = torch.cat([corner, corner + 100], dim=1)
    scores = torch.rand(50_000, generator=generator)
    kept = nms(piles, scores)
    best = scores.reshape(100, 500).max(dim=0).values
    assert scores[kept].tolist() == sorted(best.tolist(), reverse=True)
    voted, voted_scores = box_voting(piles, scores)
    assert torch.equal(voted_scores, scores[kept])
    assert (voted - piles[kept]).abs().max() < 1


def test_33000_piled_up_boxes_take_less_than_64_mb() -> None:
    program = """
import resource, torch
from crface.boxes import nms
generator = torch.Generator().manual_seed(0)
corners = torch.rand(33_000, 2, generator=generator) * 200
piles = torch.cat([corners, corners + 20 + torch.rand(33_000, 2, generator=generator) * 60], dim=1)
scores = torch.rand(33_000, generator=generator)
nms(piles[:200], scores[:200])  # what the first call loads is not what is promised
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
nms(piles, scores)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert int(ended.stdout) < 64 * 1024  # KiB on Linux
