"""What users may rely on in HAMBox's mining: which anchors a face is given beyond those that it matched."""

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.training.matching import BACKGROUND, IGNORED
from detectors.training.mining import compensate, compensate_batch

FACES = torch.tensor([[0.0, 0.0, 10.0, 10.0], [20.0, 0.0, 30.0, 10.0]])


def _regressed(*rows: tuple[float, float, float, float]) -> torch.Tensor:
    return torch.tensor(rows, dtype=torch.float32).reshape(-1, 4)


def test_a_face_short_of_anchors_gets_the_best_regressed_of_the_unmatched_ones() -> None:
    # IoU with face 0: 0.8, 1, 0.9, matched already
    regressed = _regressed((0, 0, 10, 8), (0, 0, 10, 10), (0, 0, 10, 9), (0, 0, 10, 10))
    labels = torch.tensor([BACKGROUND, BACKGROUND, BACKGROUND, 0])
    assert compensate(labels, FACES, regressed, 2, 0.7).tolist() == [BACKGROUND, 0, BACKGROUND, 0]
    assert compensate(labels, FACES, regressed, 3, 0.7).tolist() == [BACKGROUND, 0, 0, 0]
    assert compensate(labels, FACES, regressed, 9, 0.7).tolist() == [0, 0, 0, 0]


def test_a_face_with_enough_anchors_gets_none() -> None:
    labels = torch.tensor([0, 0, BACKGROUND])
    assert compensate(labels, FACES[:1], _regressed(*[(0, 0, 10, 10)] * 3), 2, 0.5).tolist() == [
        0,
        0,
        BACKGROUND,
    ]


def test_a_regressed_box_below_the_overlap_stays_background() -> None:
    labels = torch.tensor([BACKGROUND, BACKGROUND])
    regressed = _regressed((0, 0, 10, 7.9), (0, 0, 10, 8))
    assert compensate(labels, FACES[:1], regressed, 3, 0.8).tolist() == [BACKGROUND, 0]


def test_an_anchor_goes_to_the_face_that_its_box_overlaps_most_and_ignored_ones_to_none() -> None:
    labels = torch.tensor([BACKGROUND, IGNORED, BACKGROUND])
    regressed = _regressed((20, 0, 30, 9), (20, 0, 30, 10), (0, 0, 10, 10))
    assert compensate(labels, FACES, regressed, 1, 0.5).tolist() == [1, IGNORED, 0]


def test_an_image_without_faces_is_left_as_it_is() -> None:
    labels = torch.tensor([BACKGROUND, IGNORED])
    assert compensate(labels, FACES[:0], _regressed(*[(0, 0, 10, 10)] * 2), 3, 0.5) is labels


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 4), st.integers(1, 4))
def test_mining_agrees_with_a_plain_loop(seed: int, num_faces: int, anchors_per_face: int) -> None:
    rng = np.random.default_rng(seed)
    corners = rng.integers(0, 12, (num_faces, 2))
    faces = torch.tensor(np.concatenate([corners, corners + rng.integers(2, 9, (num_faces, 2))], 1)).float()
    corners = rng.integers(0, 12, (30, 2))
    regressed = torch.tensor(np.concatenate([corners, corners + rng.integers(2, 9, (30, 2))], 1)).float()
    labels = torch.tensor(rng.choice([BACKGROUND, BACKGROUND, IGNORED, 0], 30))

    def overlap(a: list[float], b: list[float]) -> float:
        w = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
        h = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
        return w * h / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - w * h)

    expected = labels.tolist()
    table = [[overlap(box, face) for face in faces.tolist()] for box in regressed.tolist()]
    for face in range(num_faces):
        mine = [a for a in range(30) if labels[a] == BACKGROUND and table[a].index(max(table[a])) == face]
        good = sorted((a for a in mine if table[a][face] >= 0.4), key=lambda a: -table[a][face])
        missing = max(0, anchors_per_face - int((labels == face).sum()))
        for anchor in good[:missing]:
            expected[anchor] = face
    assert compensate(labels, faces, regressed, anchors_per_face, 0.4).tolist() == expected
    pair = compensate_batch(
        torch.stack([labels] * 2), [faces] * 2, torch.stack([regressed] * 2), anchors_per_face, 0.4
    )
    assert pair.tolist() == [expected] * 2
