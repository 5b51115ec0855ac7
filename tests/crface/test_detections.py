"""Detections from candidates: a case by hand, a plain loop that must agree, and the edges."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from crface.boxes import iou
from crface.detections import detections_of

CANDIDATES = torch.tensor(
    [
        [0.0, 0.0, 10.0, 10.0, 0.9],
        [1.0, 0.0, 11.0, 10.0, 0.8],  # overlaps the first by 90 / 110
        [50.0, 50.0, 60.0, 60.0, 0.3],
        [80.0, 80.0, 90.0, 90.0, 0.02],
    ]
)


def plain_detections(
    candidates: list[list[float]], scores: list[float], score_threshold: float, nms_iou: float
) -> list[list[float]]:
    left = [
        [*row[:4], score] for row, score in zip(candidates, scores, strict=True) if row[4] > score_threshold
    ]
    kept: list[list[float]] = []
    while left:
        best = left[0]
        for row in left[1:]:
            if row[4] > best[4]:
                best = row
        left.remove(best)
        overlaps = iou(torch.tensor([best])[:, :4], torch.tensor(kept).reshape(-1, 5)[:, :4])
        if not (overlaps > nms_iou).any():
            kept.append(best)
    return kept


def test_candidates_above_the_threshold_that_no_better_one_overlaps_are_the_detections() -> None:
    found = detections_of(CANDIDATES, score_threshold=0.02, nms_iou=0.4)
    assert torch.equal(found, CANDIDATES[[0, 2]])


def test_other_scores_decide_order_and_suppression_but_not_who_takes_part() -> None:
    scores = torch.tensor([0.1, 0.2, 0.7, 1.0])
    found = detections_of(CANDIDATES, scores, score_threshold=0.02, nms_iou=0.4)
    assert torch.equal(found[:, :4], CANDIDATES[[2, 1], :4])
    assert torch.equal(found[:, 4], scores[[2, 1]])
    everything = detections_of(CANDIDATES, scores, score_threshold=-math.inf, nms_iou=0.4)
    assert torch.equal(everything[:, 4], scores[[3, 2, 1]])


def test_a_box_that_overlaps_by_exactly_the_threshold_is_kept() -> None:
    candidates = torch.tensor([[0.0, 0.0, 10.0, 10.0, 0.9], [0.0, 0.0, 10.0, 5.0, 0.8]])
    assert len(detections_of(candidates, score_threshold=0.0, nms_iou=0.5)) == 2
    assert len(detections_of(candidates, score_threshold=0.0, nms_iou=0.49)) == 1


def test_of_equal_scores_the_first_candidate_stays() -> None:
    found = detections_of(CANDIDATES[:2], torch.full((2,), 0.5), score_threshold=0.02, nms_iou=0.4)
    assert found.tolist() == [[0.0, 0.0, 10.0, 10.0, 0.5]]


@pytest.mark.parametrize("count", [0, 4])
def test_no_candidate_above_the_threshold_gives_no_detections(count: int) -> None:
    found = detections_of(CANDIDATES[:count], score_threshold=1.0, nms_iou=0.4)
    assert found.shape == (0, 5)
    assert found.dtype == CANDIDATES.dtype


def test_the_candidates_are_not_written_to() -> None:
    before = CANDIDATES.clone()
    detections_of(CANDIDATES, torch.zeros(4), score_threshold=0.0, nms_iou=0.4)
    assert torch.equal(CANDIDATES, before)


CORNER, SIDE, PERCENT = st.integers(0, 60), st.integers(0, 30), st.integers(0, 20)


@given(
    rows=st.lists(st.tuples(CORNER, CORNER, SIDE, SIDE, PERCENT, PERCENT), max_size=30),
    score_threshold=st.sampled_from([-math.inf, 0.0, 0.02, 0.1]),
    nms_iou=st.sampled_from([0.0, 0.4, 0.5, 1.0]),
)
def test_agrees_with_a_plain_loop(
    rows: list[tuple[int, int, int, int, int, int]], score_threshold: float, nms_iou: float
) -> None:
    table = torch.tensor(rows, dtype=torch.float32).reshape(-1, 6)
    corners, sides = table[:, :2], table[:, 2:4]
    candidates = torch.column_stack([corners, corners + sides, table[:, 4] / 128])
    scores = table[:, 5] / 128  # exact, so that the loop compares the same numbers
    for given_scores in (None, scores):
        order = candidates[:, 4] if given_scores is None else given_scores
        expected = plain_detections(candidates.tolist(), order.tolist(), score_threshold, nms_iou)
        found = detections_of(candidates, given_scores, score_threshold=score_threshold, nms_iou=nms_iou)
        assert found.tolist() == expected
