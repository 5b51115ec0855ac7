"""Refining only the candidates that can become detections: the same confidences for them, at less work."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from crface import ranker
from crface.ranker import Gate
from crface.ranker.interface import Ranker
from crface.ranker.opinions import with_opinions

OPTIONS: dict[str, dict[str, object]] = {"committee": {"opinions": ["another"]}}
NAMES = ["small", "small-told", "per-box", "committee"]
PICTURE = np.random.default_rng(0).integers(0, 255, (48, 80, 3), dtype=np.uint8)


def disturbed(name: str, num_candidates: int = 8) -> Ranker:
    """A ranker that moves confidences, as a trained one does."""
    torch.manual_seed(3)
    model = ranker.create(name, num_candidates, 64, **OPTIONS.get(name, {})).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.05 * torch.randn_like(parameter)
    return model


def crowd(confidences: list[float], model: Ranker) -> np.ndarray:
    """Boxes of these confidences on top of each other, with opinions where the ranker reads any."""
    random = np.random.default_rng(1)
    corners = random.uniform(0, 40, (len(confidences), 2))
    sides = random.uniform(5, 30, corners.shape)
    rows = np.column_stack([corners, corners + sides, confidences]).astype(np.float32)
    return with_opinions(rows, [rows[::2]]) if model.opinions else rows


@pytest.mark.parametrize("name", NAMES)
@given(
    confidences=st.lists(st.sampled_from([0.0, 0.01, 0.02, 0.0201, 0.3, 0.3001, 0.9]), max_size=24),
    above=st.sampled_from([0.0, 0.02, 0.3, 0.95]),
)
def test_candidates_above_are_refined_as_ever_and_the_others_keep_their_confidence(
    name: str, confidences: list[float], above: float
) -> None:
    model = disturbed(name)
    rows = crowd(confidences, model)
    refined = model.refine(PICTURE, rows, above=above)
    is_above = rows[:, 4] > np.float32(above)
    np.testing.assert_allclose(refined[is_above], model.refine(PICTURE, rows)[is_above], atol=1e-6)
    np.testing.assert_array_equal(refined[~is_above], rows[~is_above, 4])


@pytest.mark.parametrize("name", NAMES)
def test_by_default_every_candidate_is_refined(name: str) -> None:
    model = disturbed(name)
    rows = crowd([0.9, 0.001, 0.0001], model)
    assert (model.refine(PICTURE, rows) != rows[:, 4]).all()


@pytest.mark.parametrize(("name", "num_refined"), [("per-box", 30), ("small", 30), ("committee", 30)])
def test_a_tail_that_cannot_become_detections_is_not_looked_at(
    name: str, num_refined: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = disturbed(name)
    rows = crowd([*np.linspace(0.9, 0.1, num_refined), *np.linspace(0.01, 0.001, 400)], model)
    looked_at: list[int] = []
    refine_all = model.refine_all

    def counted(image: np.ndarray, candidates: np.ndarray) -> np.ndarray:
        looked_at.append(len(candidates))
        return refine_all(image, candidates)

    monkeypatch.setattr(model, "refine_all", counted)
    model.refine(PICTURE, rows, above=0.02)
    assert looked_at == [num_refined]


@pytest.mark.parametrize("num_heard", [8, 50])
def test_boxes_below_are_heard_as_neighbours_all_the_same(num_heard: int) -> None:
    model = disturbed("per-box", num_heard)
    rows = crowd([0.5, *[0.01] * 20], model)
    alone = model.refine(PICTURE, rows[:1], above=0.02)
    among_others = model.refine(PICTURE, rows, above=0.02)
    assert among_others[0] != alone[0]
    np.testing.assert_allclose(among_others[0], model.refine(PICTURE, rows)[0], atol=1e-6)


def test_the_gates_calibration_holds_above_only() -> None:
    model = disturbed("per-box")
    rows = crowd([0.9, 0.4, 0.01], model)
    model.gate = Gate(1.0)
    whole = model.refine(PICTURE, rows)
    found = model.refine(PICTURE, rows, trust=0.5, above=0.02)
    assert found[2] == rows[2, 4]
    assert not np.array_equal(found[:2], whole[:2])
