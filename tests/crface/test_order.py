"""How confidences are distributed, and what order they keep: sums over images that depend on the order alone."""

import numpy as np
import pytest

from crface.evaluation.order import NUM_BINS, PLACES, order_tally, summed

ORACLE = np.array([0.9, 0.1, 0.5, 0.3])
QUARTERS = [int(np.flatnonzero(np.isclose(PLACES, share))[0]) for share in (0.5, 1.0)]


def test_the_order_kept_is_the_mean_overlap_of_the_best_boxes():
    best = order_tally(ORACLE, ORACLE)
    np.testing.assert_allclose(best.mean_overlap[QUARTERS], [0.7, 0.45])
    worst = order_tally(-ORACLE, ORACLE)
    np.testing.assert_allclose(worst.mean_overlap[QUARTERS], [0.2, 0.45])
    assert (best.mean_kendall, worst.mean_kendall) == (1.0, -1.0)


def test_a_change_of_confidences_that_keeps_their_order_changes_the_distribution_alone():
    plain, curved = order_tally(ORACLE, ORACLE), order_tally(ORACLE**3, ORACLE)
    np.testing.assert_array_equal(plain.overlap, curved.overlap)
    assert plain.kendall == curved.kendall
    assert not np.array_equal(plain.count, curved.count)


def test_every_box_is_in_one_bin_and_those_outside_in_the_nearest():
    tally = order_tally(np.array([-0.5, 0.0, 0.5, 1.0, 1.5]), np.zeros(5))
    assert tally.count[[0, NUM_BINS // 2, -1]].tolist() == [2, 1, 2]
    assert tally.share.sum() == pytest.approx(1)


def test_images_count_alike_and_those_without_boxes_or_order_do_not():
    none = np.zeros(0)
    both = summed([order_tally(ORACLE, ORACLE), order_tally(none, none), order_tally(np.ones(2), ORACLE[:2])])
    assert (both.num_images, both.num_ordered, both.mean_kendall) == (2, 1, 1.0)
    np.testing.assert_allclose(both.mean_overlap[-1], (0.45 + 0.5) / 2)


def test_no_image_at_all_is_an_answer():
    empty = summed([])
    assert np.isnan(empty.mean_kendall)
    assert np.isnan(empty.mean_overlap).all()
    assert empty.share.tolist() == [0.0] * NUM_BINS
