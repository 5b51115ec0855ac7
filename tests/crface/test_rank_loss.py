"""What the paper's ranking loss asks for."""

from math import exp, log

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from crface.losses import rank_loss


def everything_is_a_box(values: Tensor) -> Tensor:
    return torch.ones_like(values, dtype=torch.bool)


def test_confidences_that_tell_nothing_apart_cost_the_logarithm_of_two() -> None:
    oracle = torch.tensor([[0.9, 0.1, 0.5, 0.3]])
    loss = rank_loss(torch.full((1, 4), 0.7), oracle, everything_is_a_box(oracle))
    assert float(loss) == pytest.approx(log(2))


def test_a_pair_in_oracle_order_costs_less_than_the_same_pair_reversed() -> None:
    oracle = torch.tensor([[0.8, 0.2]])
    right = rank_loss(torch.tensor([[1.0, 0.0]]), oracle, everything_is_a_box(oracle))
    wrong = rank_loss(torch.tensor([[0.0, 1.0]]), oracle, everything_is_a_box(oracle))
    assert float(right) == pytest.approx(log(1 + exp(-1)))
    assert float(wrong) == pytest.approx(log(1 + exp(1)))


def test_two_pairs_of_three_boxes_weigh_the_far_pair_half() -> None:
    refined, oracle = torch.tensor([[0.9, 0.5, 0.3]]), torch.tensor([[0.2, 0.7, 0.1]])
    near = log(1 + exp(0.4)) + log(
        1 + exp(-0.2)
    )  # the second should lead the first; the second leads the third
    far = log(1 + exp(-0.6))
    loss = rank_loss(refined, oracle, everything_is_a_box(refined), num_pairs=2)
    assert float(loss) == pytest.approx((near + far / 2) / 2.5)


def test_equal_oracle_confidences_ask_for_nothing() -> None:
    refined = torch.tensor([[0.9, 0.5]], requires_grad=True)
    loss = rank_loss(refined, torch.tensor([[0.4, 0.4]]), everything_is_a_box(refined))
    loss.backward()
    assert float(loss.detach()) == 0.0
    assert refined.grad is not None
    assert refined.grad.tolist() == [[0.0, 0.0]]


def test_equation_one_as_printed_lets_the_second_of_equals_lead() -> None:
    refined = torch.tensor([[0.9, 0.5]])
    loss = rank_loss(refined, torch.zeros(1, 2), everything_is_a_box(refined), ties="second first")
    assert float(loss) == pytest.approx(log(1 + exp(0.4)))


@pytest.mark.parametrize("num_boxes", [0, 1, 2])
def test_without_any_pair_the_loss_is_a_zero_that_backward_can_walk(num_boxes: int) -> None:
    scores = torch.zeros(3, num_boxes, requires_grad=True)
    loss = rank_loss(scores * 2, torch.rand(3, num_boxes), torch.zeros(3, num_boxes, dtype=torch.bool))
    loss.backward()
    assert float(loss.detach()) == 0.0
    assert scores.grad is not None
    assert not scores.grad.any()


def test_what_stands_in_padding_rows_changes_neither_loss_nor_gradient() -> None:
    is_box = torch.tensor([[True, True, True, False, False]])
    results = []
    for padding in (0.0, 123.0):
        refined = torch.tensor([[0.6, 0.7, 0.2, padding, -padding]], requires_grad=True)
        loss = rank_loss(refined, torch.tensor([[0.1, 0.9, 0.0, padding, 0.5]]), is_box)
        loss.backward()
        assert refined.grad is not None
        results.append((float(loss.detach()), refined.grad.tolist()))
    assert results[0] == results[1]
    assert results[0][1][0][3:] == [0.0, 0.0]


def test_the_step_downhill_moves_the_better_box_up_and_the_worse_one_down() -> None:
    refined = torch.tensor([[0.5, 0.5]], requires_grad=True)
    rank_loss(refined, torch.tensor([[0.1, 0.8]]), everything_is_a_box(refined)).backward()
    assert refined.grad is not None
    assert refined.grad[0, 0] > 0 > refined.grad[0, 1]


def test_the_gradient_is_that_of_finite_differences() -> None:
    torch.manual_seed(0)
    refined = torch.rand(2, 7, dtype=torch.float64, requires_grad=True)
    oracle = torch.rand(2, 7, dtype=torch.float64)
    is_box = torch.tensor([[True] * 7, [True] * 4 + [False] * 3])
    assert torch.autograd.gradcheck(lambda c: rank_loss(c, oracle, is_box, num_pairs=3), (refined,))


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), num_boxes=st.integers(2, 12), num_pairs=st.integers(1, 15))
def test_the_loss_is_that_of_the_double_loop_over_boxes(seed: int, num_boxes: int, num_pairs: int) -> None:
    random = torch.Generator().manual_seed(seed)
    refined = torch.rand(3, num_boxes, generator=random)
    oracle = torch.randint(0, 4, (3, num_boxes), generator=random) / 4  # ties happen
    is_box = torch.rand(3, num_boxes, generator=random) < 0.8
    total = weights = 0.0
    for image in range(3):
        for i in range(num_boxes):
            for j in range(i + 1, min(i + num_pairs, num_boxes - 1) + 1):
                if is_box[image, i] and is_box[image, j] and oracle[image, i] != oracle[image, j]:
                    difference = float(refined[image, i] - refined[image, j])
                    sign = 1 if oracle[image, i] > oracle[image, j] else -1
                    total += log(1 + exp(-sign * difference)) / (j - i)
                    weights += 1 / (j - i)
    expected = total / weights if weights else 0.0
    assert float(rank_loss(refined, oracle, is_box, num_pairs)) == pytest.approx(expected, abs=1e-5)
