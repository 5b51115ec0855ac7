"""What users may rely on in a detector's targets and loss: which prior learns which face, and what a mistake costs."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.networks.priors import decode_boxes, decode_points, make_priors
from detectors.training.matching import BACKGROUND, IGNORED, Targets, make_targets, match_batch, match_priors
from detectors.training.multibox_loss import landmark_loss, multibox_loss

NONE = torch.zeros(0, 4)


def _boxes(*rows: tuple[float, float, float, float]) -> torch.Tensor:
    return torch.tensor(rows, dtype=torch.float32).reshape(-1, 4)


def _targets(labels: torch.Tensor, offsets: torch.Tensor) -> Targets:
    return Targets(labels, offsets, torch.full((len(offsets), 10), torch.nan))


# Matching


def test_a_prior_takes_the_face_it_overlaps_most_from_the_threshold_on() -> None:
    priors = _boxes((0, 0, 10, 10), (20, 0, 30, 10), (40, 0, 50, 10), (60, 0, 70, 10))
    # with prior 0: IoU 1; with prior 1: 5/15 and 6/14; with prior 2: 5/15
    faces = _boxes((0, 0, 10, 10), (25, 0, 35, 10), (24, 0, 34, 10), (45, 0, 55, 10), (58, 0, 68, 10))
    assert match_priors(faces[[0, 2]], NONE, priors, 0.35).tolist() == [0, 1, BACKGROUND, BACKGROUND]
    assert match_priors(faces[[0, 1, 2]], NONE, priors, 0.35).tolist() == [0, 2, BACKGROUND, BACKGROUND]
    assert match_priors(faces[[4]], NONE, priors, 0.35).tolist() == [BACKGROUND] * 3 + [0]


def test_every_face_takes_its_best_prior_however_small_the_overlap() -> None:
    priors = _boxes((0, 0, 16, 16), (8, 0, 24, 16))
    tiny = _boxes((1, 1, 4, 4))  # IoU 9/256
    assert match_priors(tiny, NONE, priors, 0.35).tolist() == [0, BACKGROUND]


def test_a_best_prior_is_not_taken_by_a_face_that_merely_passes_the_threshold() -> None:
    priors = _boxes((0, 0, 16, 16), (100, 0, 116, 16))
    # the large face overlaps prior 0 by 14/16 but prior 1 is not its own: both faces want prior 0
    small, large = (0, 0, 4, 4), (0, 0, 16, 14)
    assert match_priors(_boxes(small, large), NONE, priors, 0.35)[0] == 1  # the one that overlaps it more
    near = _boxes((0, 0, 16, 16), (1, 0, 17, 16))
    # face 1 overlaps prior 0 by 15/17, but its best is prior 1; face 0 keeps prior 0 with 1/16
    assert match_priors(_boxes((0, 0, 1, 16), (1, 0, 17, 16)), NONE, near, 0.35).tolist() == [0, 1]


def test_priors_centred_in_an_ignored_region_teach_nothing_unless_they_have_a_face() -> None:
    priors = _boxes((0, 0, 16, 16), (16, 0, 32, 16), (32, 0, 48, 16))
    ignored = _boxes((0, 0, 30, 16))
    assert match_priors(NONE, ignored, priors, 0.35).tolist() == [IGNORED, IGNORED, BACKGROUND]
    assert match_priors(_boxes((16, 0, 32, 16)), ignored, priors, 0.35).tolist() == [IGNORED, 0, BACKGROUND]
    # a region of 2 px reaches 8 px to each side
    assert match_priors(NONE, _boxes((14, 7, 16, 9)), priors, 0.35).tolist() == [
        IGNORED,
        BACKGROUND,
        BACKGROUND,
    ]


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(0, 8))
def test_matching_agrees_with_a_plain_loop(seed: int, num_faces: int) -> None:
    rng = np.random.default_rng(seed)
    corners = rng.uniform(0, 50, (num_faces, 2))
    faces = torch.tensor(
        np.concatenate([corners, corners + rng.uniform(3, 40, (num_faces, 2))], axis=1)
    ).float()
    relative = make_priors(64, 64)
    priors = decode_boxes(torch.zeros_like(relative), relative) * 64

    def overlap(a: list[float], b: list[float]) -> float:
        w = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
        h = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
        return w * h / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - w * h)

    table = [[overlap(f, p) for p in priors.tolist()] for f in faces.tolist()]
    labels = match_priors(faces, NONE, priors, 0.35).tolist()
    owners = {int(np.argmax(row)): 0 for row in table}
    for j, label in enumerate(labels):
        column = [row[j] for row in table]
        claims = [f for f, row in enumerate(table) if int(np.argmax(row)) == j]
        if j in owners:
            assert column[label] == pytest.approx(max(column[f] for f in claims), abs=1e-5)
        elif column and max(column) > 0.35 + 1e-5:
            assert column[label] == pytest.approx(max(column), abs=1e-5)
        elif not column or max(column) < 0.35 - 1e-5:
            assert label == BACKGROUND


def test_targets_are_offsets_that_decode_to_the_faces() -> None:
    priors = make_priors(64, 64)
    faces = [_boxes((10, 12, 30, 31)), NONE, _boxes((0, 0, 60, 50), (40, 40, 52, 56))]
    priors_px = decode_boxes(torch.zeros_like(priors), priors) * 64
    targets = make_targets(match_batch(faces, [NONE] * 3, priors_px, 0.35), faces, priors, 64)
    image, prior = (targets.labels >= 0).nonzero(as_tuple=True)
    assert set(image.tolist()) == {0, 2}
    found = decode_boxes(targets.offsets, priors[prior]) * 64
    expected = torch.stack([faces[i][targets.labels[i, p]] for i, p in zip(image, prior, strict=True)])
    torch.testing.assert_close(found, expected, atol=1e-3, rtol=0)


# Loss


def test_loss_by_hand_counts_the_positive_and_its_hardest_negatives() -> None:
    labels = torch.tensor([[0, BACKGROUND, BACKGROUND, IGNORED], [BACKGROUND] * 4])
    targets = _targets(labels, torch.tensor([[0.0, 0.0, 3.0, 0.5]]))
    offsets = torch.zeros(2, 4, 4)
    logits = torch.zeros(2, 4, 2)
    logits[0, 3, 1] = 50.0  # ignored, however sure
    logits[1, 2, 1] = math.log(3)  # the hardest negative: face with probability 3/4
    loss = multibox_loss(offsets, logits, targets, negatives_per_positive=2)
    assert loss.boxes.item() == pytest.approx((3 - 0.5) + 0.5 * 0.5**2)
    assert loss.classes.item() == pytest.approx(math.log(2) + math.log(4) + math.log(2))
    assert loss.total(box_weight=2.0).item() == pytest.approx(2 * 2.625 + 4 * math.log(2))


def test_a_batch_without_faces_still_teaches_what_is_no_face() -> None:
    targets = _targets(torch.full((2, 6), BACKGROUND), torch.zeros(0, 4))
    offsets, logits = torch.zeros(2, 6, 4, requires_grad=True), torch.zeros(2, 6, 2, requires_grad=True)
    loss = multibox_loss(offsets, logits, targets, negatives_per_positive=7)
    assert loss.classes.item() == pytest.approx(7 * math.log(2))
    loss.total(2.0).backward()
    assert offsets.grad is not None
    assert logits.grad is not None
    assert (offsets.grad == 0).all()
    assert (logits.grad != 0).any(dim=-1).sum() == 7


def test_fewer_negatives_than_asked_for_are_all_taken() -> None:
    targets = _targets(torch.tensor([[0, BACKGROUND]]), torch.zeros(1, 4))
    loss = multibox_loss(torch.zeros(1, 2, 4), torch.zeros(1, 2, 2), targets, negatives_per_positive=7)
    assert loss.classes.item() == pytest.approx(2 * math.log(2))


def test_a_batch_in_parts_is_divided_by_what_the_parts_have_on_average() -> None:
    targets = _targets(torch.tensor([[0, BACKGROUND]]), torch.tensor([[3.0, 0.0, 0.0, 0.0]]))
    loss = multibox_loss(torch.zeros(1, 2, 4), torch.zeros(1, 2, 2), targets, 7, num_positives=2.5)
    assert loss.boxes.item() == pytest.approx(2.5 / 2.5)
    assert loss.classes.item() == pytest.approx(2 * math.log(2) / 2.5)


def test_only_faces_with_landmarks_teach_landmarks() -> None:
    known = torch.zeros(10)
    known[3] = 2.0
    targets = Targets(
        torch.tensor([[0, 1, BACKGROUND]]),
        torch.zeros(2, 4),
        torch.stack([torch.full((10,), torch.nan), known]),
    )
    offsets = torch.zeros(1, 3, 10, requires_grad=True)
    loss = landmark_loss(offsets, targets)
    assert loss.item() == pytest.approx(2.0 - 0.5)
    loss.backward()
    assert offsets.grad is not None
    assert offsets.grad.nonzero().tolist() == [[0, 1, 3]]
    nothing = landmark_loss(offsets, _targets(torch.tensor([[0, BACKGROUND, BACKGROUND]]), torch.zeros(1, 4)))
    assert nothing.item() == 0
    nothing.backward()


def test_landmark_targets_decode_to_the_landmarks() -> None:
    priors = make_priors(64, 64)
    face = _boxes((10, 12, 30, 31))
    points = torch.tensor([[[14.0, 18.0], [25.0, 18.0], [20.0, 22.0], [15.0, 27.0], [24.0, 27.0]]])
    labels = torch.full((1, len(priors)), BACKGROUND)
    labels[0, 5] = 0
    targets = make_targets(labels, [face], priors, 64, [points])
    found = decode_points(targets.landmarks.reshape(1, 5, 2), priors[[5]]) * 64
    torch.testing.assert_close(found, points, atol=1e-4, rtol=0)
