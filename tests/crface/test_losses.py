"""What each loss asks for, by hand; what all of them share."""

from math import exp, log
from typing import get_args

import pytest
import torch
from torch import Tensor

from crface import losses
from crface.losses import Scale, Targets, create
from crface.losses.across_images import batch_rank_loss, faces_first_loss
from pipeline.config.sections import TrainConfig

SCALES = get_args(Scale)


def targets_of(
    oracle: Tensor, face: Tensor | None = None, is_box: Tensor | None = None, predicted: Tensor | None = None
) -> Targets:
    """Targets of boxes in falling confidence; each on another face of its image unless told otherwise."""
    rows = torch.arange(oracle.shape[1]).expand(oracle.shape)
    return Targets(
        predicted=1 - rows.to(oracle) / max(1, oracle.shape[1]) if predicted is None else predicted,
        oracle=oracle,
        face=rows.masked_fill(oracle == 0, -1) if face is None else face,
        is_box=torch.ones_like(oracle, dtype=torch.bool) if is_box is None else is_box,
    )


def loss_of(
    name: str, refined: list[list[float]], oracle: list[list[float]], scale: Scale = "confidence"
) -> float:
    return float(
        create(name, num_pairs=10, scale=scale)(torch.tensor(refined), targets_of(torch.tensor(oracle)))
    )


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("l1", (0.3 + 0.05) / 2),
        ("l2", (0.3**2 + 0.05**2) / 2),
        ("smooth-l1", ((0.3 - 1 / 18) + 0.05**2 * 9 / 2) / 2),  # 0.3 is beyond 1/9, 0.05 is not
        ("cross-entropy", -(0.9 * log(0.6) + 0.1 * log(0.4) + 0.2 * log(0.25) + 0.8 * log(0.75)) / 2),
    ],
)
def test_a_regression_is_the_mean_over_boxes_of_its_textbook_formula(name: str, expected: float) -> None:
    assert loss_of(name, [[0.6, 0.25]], [[0.9, 0.2]]) == pytest.approx(expected, rel=1e-5)
    logits = [[log(0.6 / 0.4), log(0.25 / 0.75)]]
    assert loss_of(name, logits, [[0.9, 0.2]], "logit") == pytest.approx(expected, rel=1e-5)


def test_smooth_l1_is_not_half_of_l2() -> None:
    refined, oracle = [[0.6, 0.25]], [[0.9, 0.2]]
    assert loss_of("smooth-l1", refined, oracle) != pytest.approx(loss_of("l2", refined, oracle) / 2)


def test_a_confidence_beyond_zero_or_one_has_a_cross_entropy_and_is_pulled_back() -> None:
    refined = torch.tensor([[1.5, -0.5]], requires_grad=True)
    loss = create("cross-entropy", 1)(refined, targets_of(torch.tensor([[0.0, 1.0]])))
    loss.backward()
    slope = 1 / 0.01
    assert float(loss.detach()) == pytest.approx(-log(0.01) + slope * 0.51, rel=1e-5)
    assert refined.grad is not None
    assert refined.grad.flatten().tolist() == pytest.approx([slope / 2, -slope / 2])


def test_margin_rescaling_asks_for_the_oracles_distance_and_no_more() -> None:
    # neighbours: 0.2 behind where 0.5 ahead is asked for, then equals; the far pair is 0.1 short, at half weight
    found = loss_of("rank-margin", [[0.2, 0.4, -0.2]], [[0.7, 0.2, 0.2]])
    assert found == pytest.approx((0.7 + 0.1 / 2) / 1.5)
    assert loss_of("rank-margin", [[0.9, 0.3]], [[0.8, 0.3]]) == 0.0
    assert loss_of("rank-margin", [[0.9, 0.9]], [[0.3, 0.3]]) == 0.0  # equals have no order


def test_boxes_of_two_images_are_compared_by_their_oracle_difference() -> None:
    refined = torch.tensor([[0.9], [0.4]])
    targets = targets_of(torch.tensor([[0.1], [0.8]]))
    assert float(batch_rank_loss(refined, targets)) == pytest.approx(log(1 + exp(0.5)))
    assert float(create("rank", 10)(refined, targets)) == 0.0  # inside an image there is no pair


def test_rows_of_the_batch_are_compared_at_distances_that_are_powers_of_two() -> None:
    refined = torch.tensor([[0.5, 0.1], [0.3, 0.9]])
    targets = targets_of(
        torch.tensor([[1.0, 0.0], [0.5, 0.0]]), predicted=torch.tensor([[0.9, 0.2], [0.8, 0.1]])
    )
    # one list: 0.5 (oracle 1), 0.3 (0.5), 0.1 (0), 0.9 (0); distance 3 is no power of two
    pairs = [(0.5, 0.2), (0.5, 0.2), (1.0, 0.4), (0.5, -0.6)]
    expected = sum(w * log(1 + exp(-d)) for w, d in pairs) / sum(w for w, _ in pairs)
    assert float(batch_rank_loss(refined, targets)) == pytest.approx(expected)


def test_faces_first_is_the_logarithm_of_precision_at_each_face() -> None:
    # equal scores: one background before each face counts as one. The first face stands at 1 of 2, the second,
    # far behind both, at 2 of 2 + (distance / T / log 2)
    alone = targets_of(torch.tensor([[0.9, 0.0]]))
    assert float(faces_first_loss(torch.tensor([[0.5, 0.5]]), alone)) == pytest.approx(log(2))
    two = targets_of(
        torch.tensor([[0.9, 0.0], [0.8, 0.0]]), is_box=torch.tensor([[True, True], [True, False]])
    )
    refined = torch.tensor([[0.9, 0.9], [-4.1, 0.0]])
    expected = (log(2) + log(1 + 5 / 0.05 / log(2) / 2)) / 2
    assert float(faces_first_loss(refined, two)) == pytest.approx(expected, rel=1e-5)


def test_only_the_best_box_of_a_face_is_to_be_found_and_its_duplicates_come_after_it() -> None:
    oracle = torch.tensor([[0.6, 0.9, 0.3]])
    targets = targets_of(oracle, face=torch.tensor([[0, 0, 0]]))
    refined = torch.tensor([[5.0, 1.0, 1.0]])
    duplicate = log(1 + exp(4 / 0.5))
    assert float(faces_first_loss(refined, targets, "logit")) == pytest.approx(log(2) + 0.25 * duplicate)


def test_many_boxes_of_background_in_buckets_cost_about_what_they_cost_alone() -> None:
    torch.manual_seed(0)
    background = torch.randn(3000) - 3
    faces = torch.randn(40)
    refined = torch.cat([faces, background])[None]
    oracle = torch.cat([torch.full((40,), 0.9), torch.zeros(3000)])[None]
    found = float(faces_first_loss(refined, targets_of(oracle), "logit"))
    false = torch.nn.functional.softplus((background - faces[:, None]) / 0.5).sum(dim=1) / log(2)
    precision = 1 / (1 + false / (faces >= faces[:, None]).sum(dim=1))
    assert found == pytest.approx(float(-precision.log().mean()), rel=2e-3)


def test_varifocal_weighs_a_face_by_its_overlap_and_background_by_its_trust() -> None:
    face = 0.8 * -(0.8 * log(0.6) + 0.2 * log(0.4))
    background = 0.75 * 0.25**2 * -log(0.75)  # an IoU of 0.3 is background
    assert loss_of("varifocal", [[0.6, 0.25]], [[0.8, 0.3]]) == pytest.approx(face + background, rel=1e-5)


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("name", losses.names())
def test_gradients_are_those_of_finite_differences(name: str, scale: Scale) -> None:
    torch.manual_seed(0)
    refined = (torch.rand(2, 9, dtype=torch.float64) * 1.4 - 0.2).requires_grad_()
    targets = targets_of(
        torch.rand(2, 9, dtype=torch.float64),
        face=torch.randint(0, 3, (2, 9)),
        is_box=torch.tensor([[True] * 9, [True] * 6 + [False] * 3]),
    )
    loss = create(name, 3, scale)
    assert torch.autograd.gradcheck(lambda c: loss(c, targets), (refined,))


@pytest.mark.parametrize("name", losses.names())
@pytest.mark.parametrize("num_boxes", [0, 1, 3])
def test_a_batch_without_boxes_costs_a_zero_that_backward_can_walk(name: str, num_boxes: int) -> None:
    scores = torch.zeros(2, num_boxes, requires_grad=True)
    nothing = targets_of(torch.zeros(2, num_boxes), is_box=torch.zeros(2, num_boxes, dtype=torch.bool))
    loss = create(name, 10)(scores * 2, nothing)
    loss.backward()
    assert float(loss.detach()) == 0.0
    assert scores.grad is not None
    assert not scores.grad.any()


@pytest.mark.parametrize("name", ["rank", "rank-margin", "rank-batch", "faces-first"])
def test_a_batch_without_any_order_costs_a_zero_that_backward_can_walk(name: str) -> None:
    scores = torch.rand(2, 5, requires_grad=True)
    loss = create(name, 10)(scores * 2, targets_of(torch.zeros(2, 5)))
    loss.backward()
    assert float(loss.detach()) == 0.0
    assert scores.grad is not None
    assert not scores.grad.any()


@pytest.mark.parametrize("name", losses.names())
def test_padding_changes_neither_loss_nor_gradient(name: str) -> None:
    results = []
    for padding in (0.0, 123.0):
        refined = torch.tensor([[0.6, 0.7, 0.2, padding, -padding]], requires_grad=True)
        oracle = torch.tensor([[0.1, 0.9, 0.0, 0.7, 0.5]])
        loss = create(name, 3)(refined, targets_of(oracle, is_box=torch.tensor([[True] * 3 + [False] * 2])))
        loss.backward()
        assert refined.grad is not None
        results.append((float(loss.detach()), refined.grad.tolist()))
    assert results[0] == results[1]
    assert results[0][1][0][3:] == [0.0, 0.0]


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("name", losses.names())
def test_going_downhill_brings_a_batch_into_oracle_order(name: str, scale: Scale) -> None:
    refined = torch.full((2, 2), 0.5, requires_grad=True)
    targets = targets_of(torch.tensor([[0.0, 0.9], [0.6, 0.0]]))
    optimizer = torch.optim.Adam([refined], lr=0.05)
    for _ in range(100):
        optimizer.zero_grad()
        create(name, 3, scale)(refined, targets).backward()
        optimizer.step()
    best = refined.detach()
    assert best[0, 1] > best[0, 0]
    assert best[1, 0] > best[1, 1]


def test_losses_are_found_by_name_and_an_unknown_name_lists_them() -> None:
    with pytest.raises(ValueError, match="'rnak'; choose one of cross-entropy, l1"):
        create("rnak", num_pairs=1)


def test_the_configuration_knows_every_loss() -> None:
    assert set(get_args(TrainConfig.model_fields["loss"].annotation)) == set(losses.names())
