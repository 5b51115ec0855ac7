"""Calibration and rank correlation: by hand, against slow forms, and at the edges."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crface.evaluation.calibration import rank_correlation, reliability

NONE = np.zeros(0)


def test_a_reliability_diagram_by_hand() -> None:
    # bins (0, 1/2] and (1/2, 1]: 0 and 1/2 are in the first
    found = reliability(np.array([0.0, 0.5, 0.75, 1.0]), np.array([0.0, 1.0, 1.0, 0.0]), num_bins=2)
    assert found.edges.tolist() == [0, 0.5, 1]
    assert found.count.tolist() == [2, 2]
    assert found.mean_confidence.tolist() == [0.25, 0.875]
    assert found.mean_target.tolist() == [0.5, 0.5]
    assert found.expected_error == pytest.approx((2 * 0.25 + 2 * 0.375) / 4)
    assert found.largest_error == 0.375


def test_confidences_that_are_their_own_target_are_calibrated() -> None:
    confidence = np.linspace(0, 1, 57)
    assert reliability(confidence, confidence).expected_error == 0


def test_an_empty_bin_has_no_means_and_no_error() -> None:
    found = reliability(np.array([0.9]), np.array([1.0]), num_bins=2)
    assert np.isnan(found.mean_confidence[0])
    assert found.expected_error == pytest.approx(0.1)


def test_without_boxes_there_is_no_error() -> None:
    assert np.isnan(reliability(NONE, NONE).expected_error)
    assert np.isnan(reliability(NONE, NONE).largest_error)


@pytest.mark.parametrize("value", [-0.1, 1.5, np.nan])
def test_what_is_no_probability_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match="is no probability"):
        reliability(np.array([value]), np.array([0.5]))
    with pytest.raises(ValueError, match="a target of"):
        reliability(np.array([0.5]), np.array([value]))


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=30), st.integers(1, 12))
@settings(max_examples=60, deadline=None)
def test_the_expected_error_is_that_of_a_plain_loop(pairs: list[tuple[float, float]], num_bins: int) -> None:
    confidence, target = np.array(pairs).T
    error = 0.0
    for number in range(num_bins):
        low, high = number / num_bins, (number + 1) / num_bins
        inside = [(c, t) for c, t in pairs if low < c <= high or (number == 0 and c == 0)]
        error += abs(sum(c - t for c, t in inside)) / len(pairs)
    assert reliability(confidence, target, num_bins).expected_error == pytest.approx(error, abs=1e-12)


def test_rank_correlation_by_hand() -> None:
    # of the three pairs two are in order: (2 - 1) / 3; squared rank differences 0, 1, 1: 1 - 6 * 2 / (3 * 8)
    found = rank_correlation([np.array([0.9, 0.8, 0.1])], [np.array([1.0, 0.2, 0.5])])
    assert found.kendall.tolist() == [pytest.approx(1 / 3)]
    assert found.spearman.tolist() == [pytest.approx(1 / 2)]


def test_every_image_weighs_the_same_and_those_with_nothing_to_order_are_left_out() -> None:
    found = rank_correlation(
        [np.linspace(0, 1, 50), np.array([0.1, 0.2]), NONE, np.array([0.3]), np.array([0.5, 0.5])],
        [np.linspace(0, 1, 50), np.array([0.2, 0.1]), NONE, np.array([0.3]), np.array([0.1, 0.2])],
    )
    assert found.num_images == 2
    assert found.mean_kendall == pytest.approx(0)
    assert found.mean_spearman == pytest.approx(0)
    assert np.isnan(found.kendall).tolist() == [False, False, True, True, True]


def test_without_an_image_to_order_there_is_no_mean() -> None:
    found = rank_correlation([], [])
    assert (found.num_images, len(found.kendall)) == (0, 0)
    assert np.isnan(found.mean_kendall)
    assert np.isnan(found.mean_spearman)


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=2, max_size=12))
@settings(max_examples=80, deadline=None)
def test_kendall_is_that_of_all_pairs_with_ties_counted_out(pairs: list[tuple[int, int]]) -> None:
    confidence, oracle = np.array(pairs, dtype=np.float64).T / 5
    signs = [(np.sign(a[0] - b[0]), np.sign(a[1] - b[1])) for a, b in itertools.combinations(pairs, 2)]
    untied = sum(abs(c) for c, _ in signs) * sum(abs(o) for _, o in signs)
    (found,) = rank_correlation([confidence], [oracle]).kendall
    if untied == 0:
        assert np.isnan(found)
    else:
        assert found == pytest.approx(sum(c * o for c, o in signs) / untied**0.5)


def test_a_monotone_change_of_confidences_leaves_rank_correlation_alone() -> None:
    generator = np.random.default_rng(0)
    confidence, oracle = generator.random((2, 200))
    plain = rank_correlation([confidence], [oracle])
    curved = rank_correlation([confidence**8], [oracle])
    assert plain.kendall == pytest.approx(curved.kendall)
    assert plain.spearman == pytest.approx(curved.spearman)
