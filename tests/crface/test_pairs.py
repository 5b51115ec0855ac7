"""Which rows are compared with which."""

import pytest
import torch

from crface.pairs import n_pairs


def test_two_pairs_are_the_neighbours_and_the_odd_and_even_rows() -> None:
    refined = torch.tensor([[8.0, 4.0, 2.0, 1.0]])
    near, far = n_pairs(refined, refined / 10, torch.ones(1, 4, dtype=torch.bool), num_pairs=2)
    assert near.refined_difference.tolist() == [[4.0, 2.0, 1.0]]
    assert far.refined_difference.tolist() == [[6.0, 3.0]]
    assert (near.weight, far.weight) == (1.0, 0.5)
    torch.testing.assert_close(far.oracle_difference, torch.tensor([[0.6, 0.3]]))


def test_a_pair_that_touches_padding_is_none() -> None:
    values = torch.tensor([[3.0, 2.0, 0.0, 0.0], [4.0, 3.0, 2.0, 1.0]])
    is_box = torch.tensor([[True, True, False, False], [True, True, True, True]])
    near, far = n_pairs(values, values, is_box, num_pairs=2)
    assert near.is_pair.tolist() == [[True, False, False], [True, True, True]]
    assert far.is_pair.tolist() == [[False, False], [True, True]]


@pytest.mark.parametrize(("num_boxes", "num_distances"), [(0, 0), (1, 0), (2, 1), (3, 2)])
def test_distances_that_no_two_rows_have_are_left_out(num_boxes: int, num_distances: int) -> None:
    values = torch.zeros(2, num_boxes)
    pairs = list(n_pairs(values, values, torch.ones(2, num_boxes, dtype=torch.bool), num_pairs=100))
    assert len(pairs) == num_distances


def test_a_hundred_pairs_are_as_many_as_the_double_loop_over_rows_finds() -> None:
    values = torch.rand(1, 150)
    pairs = n_pairs(values, values, torch.ones(1, 150, dtype=torch.bool), num_pairs=100)
    found = sorted(difference for distance in pairs for difference in distance.refined_difference[0].tolist())
    expected = sorted(
        float(values[0, i] - values[0, j]) for i in range(150) for j in range(i + 1, min(i + 101, 150))
    )
    assert found == expected


def test_zero_pairs_is_refused() -> None:
    with pytest.raises(ValueError, match="num_pairs is 0"):
        list(n_pairs(torch.zeros(1, 3), torch.zeros(1, 3), torch.ones(1, 3, dtype=torch.bool), num_pairs=0))
