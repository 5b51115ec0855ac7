"""The gate: how much of a refinement is used, and calibrated confidences."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from crface import ranker
from crface.evaluation.calibration import reliability
from crface.ranker import Gate
from crface.ranker.gate import fitted_calibration
from crface.ranker.interface import Ranker

confidences = arrays(np.float64, 12, elements=st.floats(0, 1, width=32))


def disturbed(name: str = "per-box") -> Ranker:
    """A ranker that moves confidences, as a trained one does."""
    torch.manual_seed(3)
    model = ranker.create(name, 16, 64).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.05 * torch.randn_like(parameter)
    return model


def picture() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (48, 80, 3), dtype=np.uint8)


def some_candidates(count: int) -> np.ndarray:
    random = np.random.default_rng(1)
    corners = random.uniform(0, 40, (count, 2))
    scores = np.sort(random.uniform(0.05, 0.95, (count, 1)), axis=0)[::-1]
    return np.concatenate([corners, corners + random.uniform(5, 30, (count, 2)), scores], axis=1).astype(
        np.float32
    )


@pytest.mark.parametrize("name", ["small", "per-box"])
def test_a_closed_gate_leaves_the_detectors_confidences_bit_for_bit(name: str) -> None:
    model, candidates = disturbed(name), some_candidates(12)
    assert not np.array_equal(model.refine(picture(), candidates), candidates[:, 4])
    model.gate = Gate(0.0)
    assert np.array_equal(model.refine(picture(), candidates), candidates[:, 4])
    model.gate = None
    assert np.array_equal(model.refine(picture(), candidates, trust=0.0), candidates[:, 4])


@pytest.mark.parametrize("name", ["small", "per-box"])
def test_an_open_gate_changes_nothing(name: str) -> None:
    model, candidates = disturbed(name), some_candidates(12)
    whole = model.refine(picture(), candidates)
    model.gate = Gate(1.0)
    assert np.array_equal(model.refine(picture(), candidates), whole)


@given(confidences, confidences, st.sampled_from([0.25, 0.5, 0.75]))
def test_a_share_lies_between_the_detector_and_the_refinement(
    predicted: np.ndarray, refined: np.ndarray, share: float
) -> None:
    used = Gate(share)(torch.from_numpy(predicted), torch.from_numpy(refined)).numpy()
    low, high = np.minimum(predicted, refined), np.maximum(predicted, refined)
    assert ((used >= low - 1e-6) & (used <= high + 1e-6)).all()


@given(confidences, st.floats(0.05, 5), st.floats(0.05, 5), st.floats(-4, 4))
def test_calibration_keeps_every_order(refined: np.ndarray, a: float, b: float, c: float) -> None:
    used = Gate(1.0, (a, b, c))(torch.from_numpy(refined), torch.from_numpy(refined)).numpy()
    order = np.argsort(refined, kind="stable")
    assert (np.diff(used[order]) >= -1e-12).all()
    assert ((used >= 0) & (used <= 1)).all()


def test_a_fitted_calibration_makes_confidences_probabilities() -> None:
    random = np.random.default_rng(0)
    probability = random.beta(0.5, 0.7, 4000)
    is_right = random.random(4000) < probability
    overconfident = probability**0.4  # says 0.4 where 0.1 is right
    used = Gate(1.0, fitted_calibration(overconfident, is_right))(
        torch.from_numpy(overconfident), torch.from_numpy(overconfident)
    ).numpy()
    before, after = (reliability(c, is_right.astype(float)).expected_error for c in (overconfident, used))
    assert before > 0.15
    assert after < 0.02


def test_nothing_is_calibrated_where_all_boxes_are_right_or_all_wrong() -> None:
    assert fitted_calibration(np.array([0.2, 0.9]), np.array([True, True])) == (1.0, 1.0, 0.0)
    assert fitted_calibration(np.zeros(0), np.zeros(0, bool)) == (1.0, 1.0, 0.0)


def test_right_and_wrong_boxes_that_do_not_overlap_give_finite_numbers() -> None:
    calibration = fitted_calibration(np.array([0.1, 0.2, 0.8, 0.9]), np.array([False, False, True, True]))
    assert np.isfinite(calibration).all()
    assert max(calibration) < 50


@pytest.mark.parametrize("name", ["small", "per-box"])
def test_a_rankers_file_holds_its_gate(name: str, tmp_path: Path) -> None:
    model, candidates = disturbed(name), some_candidates(12)
    without = ranker.serialise(model)
    model.gate = Gate(0.75, (1.2, 0.8, -0.3))
    ranker.save(model, tmp_path / "gated")
    loaded = ranker.load(tmp_path / "gated")
    assert np.array_equal(loaded.refine(picture(), candidates), model.refine(picture(), candidates))
    (tmp_path / "without").write_bytes(without)
    assert ranker.load(tmp_path / "without").gate is None


@pytest.mark.parametrize("name", ["small", "per-box"])
def test_tensors_and_arrays_pass_the_gate_alike(name: str) -> None:
    from crface.ranker.inputs import relative_rows, scaled_picture, square_picture, to_tensor

    model, candidates = disturbed(name), some_candidates(12)
    model.gate = Gate(0.5, (1.2, 0.8, -0.3))
    image = picture()
    made, size = square_picture(image, 64) if name == "small" else scaled_picture(image, 64, multiple_of=32)
    rows = relative_rows(candidates, image.shape[1], image.shape[0], 16)
    with torch.no_grad():
        found = model.confidences(
            to_tensor(torch.from_numpy(made)[None]),
            torch.from_numpy(rows)[None],
            torch.tensor([size], dtype=torch.float32),
        )
    np.testing.assert_allclose(found[0, :12], model.refine(image, candidates), atol=1e-5)
    assert (found[0, 12:] == 0).all()
