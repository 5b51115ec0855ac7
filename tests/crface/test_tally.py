"""AP from parts: blocks of images add to the numbers of the whole, in any order and grouping."""

import functools

import numpy as np
import pytest
from detection_sets import data_sets, random_set, rows
from hypothesis import given, settings
from hypothesis import strategies as st

from crface.evaluation import match, widerface_ap
from crface.evaluation.tally import Tally, joined_extremes, score_extremes, tally

A, B = (0.0, 0.0, 10.0, 10.0), (100.0, 0.0, 110.0, 10.0)
NOWHERE = (500.0, 500.0, 510.0, 510.0)

Data = tuple[list[np.ndarray], list[np.ndarray], list[np.ndarray]]


def tallies(data: Data, blocks: list[list[int]], max_scores: int = 1 << 20) -> list[Tally]:
    detections, faces, kept = data
    extremes = joined_extremes(score_extremes([detections[image] for image in block]) for block in blocks)
    return [
        tally(
            match([detections[image] for image in block], [faces[image] for image in block]),
            {
                "some": np.concatenate([np.zeros(0, bool), *(kept[image] for image in block)]),
                "all": np.ones(sum(len(faces[image]) for image in block), bool),
            },
            extremes,
            num_thresholds=100,
            max_scores=max_scores,
        )
        for block in blocks
    ]


def whole(data: Data):
    detections, faces, kept = data
    masks = {"some": kept, "all": [np.ones(len(boxes), bool) for boxes in faces]}
    return widerface_ap(detections, faces, masks, num_thresholds=100)


@st.composite
def data_in_blocks(draw: st.DrawFn) -> tuple[Data, list[list[int]]]:
    """Images of two drawn sets in any order, cut anywhere into blocks; some blocks may be empty."""
    first, second = draw(data_sets()), draw(data_sets())
    data = tuple(a + b for a, b in zip(first, second, strict=True))
    images = draw(st.permutations(range(len(data[0]))))
    cuts = sorted(draw(st.lists(st.integers(0, len(images)), max_size=5)))
    blocks = [list(images[a:b]) for a, b in zip([0, *cuts], [*cuts, len(images)], strict=True)]
    return data, blocks


def test_two_blocks_by_hand() -> None:
    # together: A at 0.9, a mistake at 0.5, B at 0.1: 1/2 + 1/2 * 2/3
    data = ([rows((*A, 0.9), (*NOWHERE, 0.5)), rows((*B, 0.1))], [rows(A, width=4), rows(B, width=4)])
    one, two = tallies((*data, [np.ones(1, bool), np.zeros(1, bool)]), [[0], [1]])
    found = (one + two).evaluation()
    assert found["all"] == found.exact_ap["all"] == pytest.approx(1 / 2 + 1 / 2 * 2 / 3)
    assert found["some"] == found.exact_ap["some"] == 1.0
    assert (found.num_images, found.num_faces) == (2, {"some": 1, "all": 2})
    assert found.exact_curves["all"].thresholds.tolist() == [0.9, 0.1]


@given(data_in_blocks())
@settings(max_examples=60, deadline=None)
def test_blocks_of_any_size_in_any_order_add_to_the_numbers_of_the_whole(
    drawn: tuple[Data, list[list[int]]],
) -> None:
    data, blocks = drawn
    total = functools.reduce(Tally.__add__, tallies(data, blocks))
    expected, found = whole(data), total.evaluation()
    assert dict(found) == pytest.approx(dict(expected), abs=1e-12, nan_ok=True)
    assert found.exact_ap == pytest.approx(expected.exact_ap, abs=1e-12, nan_ok=True)
    assert (found.num_images, found.num_faces) == (expected.num_images, expected.num_faces)
    for setting in found:
        for mine, theirs in (
            (found.curves[setting], expected.curves[setting]),
            (found.exact_curves[setting], expected.exact_curves[setting]),
        ):
            assert mine.thresholds.tolist() == theirs.thresholds.tolist()
            assert np.array_equal(mine.precision, theirs.precision)
            assert np.array_equal(mine.recall, theirs.recall, equal_nan=True)


@given(data_in_blocks(), st.integers(1, 6), st.integers(0, 100))
@settings(max_examples=60, deadline=None)
def test_with_too_many_scores_the_bounds_hold_exact_ap_and_depend_on_no_order(
    drawn: tuple[Data, list[list[int]]], max_scores: int, seed: int
) -> None:
    data, blocks = drawn
    parts = tallies(data, blocks, max_scores)
    order = np.random.default_rng(seed)
    in_order = functools.reduce(Tally.__add__, parts)
    while len(parts) > 1:  # any two at a time, as a tree reduction would
        one, two = (parts.pop(int(order.integers(len(parts)))) for _ in range(2))
        parts.append(two + one)
    (mixed,) = parts
    assert len(mixed.counts.keys) <= max_scores
    assert mixed.counts.dropped_bits == in_order.counts.dropped_bits
    assert mixed.counts.keys.tolist() == in_order.counts.keys.tolist()
    assert mixed.counts.proposals.tolist() == in_order.counts.proposals.tolist()
    assert mixed.counts.found.tolist() == in_order.counts.found.tolist()
    expected = whole(data)
    assert dict(mixed.evaluation()) == pytest.approx(dict(expected), abs=1e-12, nan_ok=True)
    for setting, (low, high) in mixed.exact_ap_bounds().items():
        if expected.num_faces[setting]:
            assert low - 1e-12 <= expected.exact_ap[setting] <= high + 1e-12


def test_the_more_scores_are_kept_the_tighter_are_the_bounds_until_they_meet() -> None:
    data = random_set(3, num_images=200)
    images = (data.detections, data.faces, data.kept["some"])
    exact = whole(images).exact_ap["all"]
    widths = []
    for max_scores in (100, 1000, 10_000):
        (total,) = tallies(images, [list(range(200))], max_scores)
        low, high = total.exact_ap_bounds()["all"]
        assert low <= exact <= high
        widths.append(high - low)
    assert widths[0] > 2 * widths[1] > widths[2] == 0


def test_a_block_without_detections_does_not_widen_the_range_of_scores() -> None:
    data = ([rows((*A, 0.9), (*B, 0.6)), rows()], [rows(A, B, width=4), rows(A, width=4)])
    parts = tallies((*data, [np.ones(2, bool), np.ones(1, bool)]), [[0], [1]])
    assert parts[0].extremes == (0.6, 0.9)
    assert (parts[0] + parts[1]).evaluation().curves["all"].thresholds[-1] == pytest.approx(0.6)


def test_tallies_that_do_not_belong_together_are_refused() -> None:
    hits = match([rows((*A, 0.9))], [rows(A, width=4)])
    one = tally(hits, {"all": np.ones(1, bool)}, (0.0, 1.0))
    with pytest.raises(ValueError, match="different extremes of the scores do not add"):
        one + tally(hits, {"all": np.ones(1, bool)}, (0.0, 2.0))
    with pytest.raises(ValueError, match="different settings"):
        one + tally(hits, {"hard": np.ones(1, bool)}, (0.0, 1.0))
    with pytest.raises(ValueError, match="different numbers of thresholds"):
        one + tally(hits, {"all": np.ones(1, bool)}, (0.0, 1.0), num_thresholds=10)
    with pytest.raises(ValueError, match=r"scores 0.9 to 0.9, beyond the extremes 0 to 0.5"):
        tally(hits, {"all": np.ones(1, bool)}, (0.0, 0.5))
