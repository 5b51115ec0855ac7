"""The committee: a ranker that reads what other detectors say of each box."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from crface import losses, ranker
from crface.ranker.onnx_export import to_onnx
from crface.ranker.opinions import LEAST_CONFIDENCE, NUM_COLUMNS, SAME_FACE, num_columns, with_opinions
from crface.training.examples import Example, with_some_unasked
from crface.training.trainer import Trainer

IMAGE = np.zeros((60, 80, 3), np.uint8)


def boxes(count: int, seed: int) -> np.ndarray:
    random = np.random.default_rng(seed)
    corners = random.uniform(0, 50, (count, 2))
    found = np.concatenate(
        [corners, corners + random.uniform(4, 20, (count, 2)), random.uniform(0.01, 0.99, (count, 1))], axis=1
    )
    return found.astype(np.float32)


def committee(opinions: tuple[str, ...] = ("a", "b")) -> ranker.Ranker:
    """A committee that does change confidences."""
    torch.manual_seed(0)
    model = ranker.create("committee", 12, 64, opinions=opinions)
    assert isinstance(model, ranker.CommitteeRanker)
    torch.nn.init.normal_(model.residual.weight, std=0.3)
    return model.eval()


def overlap(one: np.ndarray, other: np.ndarray) -> float:
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    shared = max(width, 0) * max(height, 0)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    return float(shared / (sum(areas) - shared))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 9), st.integers(0, 9), st.integers(0, 1000))
def test_an_opinion_is_the_most_confident_box_on_the_same_face_and_the_highest_overlap(
    count: int, num_heard: int, seed: int
) -> None:
    own, other = boxes(count, seed), boxes(num_heard, seed + 1)
    found = with_opinions(own, [other, None])
    assert found.shape == (count, num_columns(2))
    np.testing.assert_array_equal(found[:, :5], own)
    assert not found[:, 5 + NUM_COLUMNS :].any()
    for row, said in zip(own, found[:, 5 : 5 + NUM_COLUMNS], strict=True):
        heard = [box for box in other if box[4] > LEAST_CONFIDENCE]
        agreed = [box[4] for box in heard if overlap(row, box) >= SAME_FACE]
        confidence = max([*agreed, LEAST_CONFIDENCE])
        assert said[0] == pytest.approx(np.log(confidence / (1 - confidence)) / 4, abs=1e-4)
        assert said[1] == pytest.approx(max([overlap(row, box) for box in heard], default=0.0), abs=1e-5)
        assert said[2] == 1


def test_an_untrained_committee_leaves_every_confidence_as_it_is() -> None:
    own = boxes(7, 0)
    model = ranker.create("committee", 12, 64, opinions=["a"])
    np.testing.assert_array_equal(model.refine(IMAGE, with_opinions(own, [boxes(5, 1)])), own[:, 4])


def test_the_order_of_candidates_does_not_matter_and_the_picture_is_not_looked_at() -> None:
    own, model = boxes(9, 2), committee()
    asked = with_opinions(own, [boxes(8, 3), boxes(4, 4)])
    refined = model.refine(IMAGE, asked)
    assert np.abs(refined - own[:, 4]).max() > 0.01
    np.testing.assert_array_equal(model.refine(np.full_like(IMAGE, 200), asked[::-1])[::-1], refined)


def test_padding_gets_nothing_and_no_candidates_are_none() -> None:
    padded = np.concatenate([boxes(3, 0), np.zeros((2, 5), np.float32)])
    asked = with_opinions(padded, [boxes(5, 1), None])
    assert not asked[3:].any()
    assert not committee().refine(IMAGE, asked)[3:].any()
    assert committee().refine(IMAGE, with_opinions(boxes(0, 0), [None, None])).shape == (0,)


def test_it_is_the_same_ranker_after_saving_and_loading(tmp_path: Path) -> None:
    model = committee()
    ranker.save(model, tmp_path / "ranker.safetensors")
    loaded = ranker.load(tmp_path / "ranker.safetensors")
    assert (loaded.name, loaded.opinions) == ("committee", ("a", "b"))
    asked = with_opinions(boxes(9, 2), [boxes(8, 3), None])
    np.testing.assert_array_equal(loaded.refine(IMAGE, asked), model.refine(IMAGE, asked))


def test_candidates_without_the_opinions_are_refused_in_words() -> None:
    with pytest.raises(ValueError, match=r"\[N, 11\] is needed: .* and those of 2 opinions"):
        committee().refine(IMAGE, boxes(3, 0))
    with pytest.raises(ValueError, match=r"\[N, 5\] is needed: x1 y1 x2 y2 confidence$"):
        ranker.create("per-box", 12, 64).refine(IMAGE, with_opinions(boxes(3, 0), [None]))


@pytest.mark.parametrize(
    ("name", "opinions"), [("committee", ()), ("committee", ("a", "a")), ("per-box", ("a",))]
)
def test_opinions_belong_to_a_committee_which_needs_some_each_of_another_name(
    name: str, opinions: tuple[str, ...]
) -> None:
    with pytest.raises(ValueError, match="a committee asks one detector or several"):
        ranker.create(name, 12, 64, opinions=opinions)


@pytest.mark.parametrize(
    ("share", "trust"), [(None, 0.5), (1.0, 0.5), (0.75, 2 / 3), (0.5, 1.0), (0.25, 1.0)]
)
def test_away_from_home_half_of_the_residual_is_used_if_the_gate_lets_as_much_through(
    share: float | None, trust: float
) -> None:
    for model in (committee(), ranker.create("second-opinion", 12, 64)):
        model.gate = None if share is None else ranker.Gate(share)
        assert model.least_trust == pytest.approx(trust)
    learner = ranker.create("per-box", 12, 64)
    learner.gate = None if share is None else ranker.Gate(share)
    assert learner.least_trust == 0


def test_it_cannot_become_an_onnx_file_which_would_not_hold_the_detectors() -> None:
    pytest.importorskip("onnx")
    with pytest.raises(ValueError, match="asks a, b: an ONNX file would not hold these detectors"):
        to_onnx(committee())


@given(arrays.arrays(np.float32, (4, 11), elements=st.floats(0.5, 1, width=32)), st.integers(0, 500))
def test_in_training_each_opinion_is_sometimes_missing_as_a_whole(asked: np.ndarray, step: int) -> None:
    some = with_some_unasked(asked, (0, step, 1))
    np.testing.assert_array_equal(some[:, :5], asked[:, :5])
    for start in (5, 8):
        columns = some[:, start : start + NUM_COLUMNS]
        assert not columns.any() or np.array_equal(columns, asked[:, start : start + NUM_COLUMNS])


def test_which_opinions_are_missing_follows_from_the_seed_and_is_one_in_four() -> None:
    asked = np.ones((1, 11), np.float32)
    seen = np.array([with_some_unasked(asked, (0, step, 0))[0, [5, 8]] for step in range(400)])
    assert 0.68 < seen.mean() < 0.82
    again = np.array([with_some_unasked(asked, (0, step, 0))[0, [5, 8]] for step in range(400)])
    np.testing.assert_array_equal(seen, again)


def example(seed: int) -> Example:
    """Ten boxes with random confidences, of which one opinion knows which are faces."""
    random = np.random.default_rng(seed)
    rows = np.zeros((12, num_columns(1)), np.float32)
    rows[:10, :2], rows[:10, 2:4] = random.uniform(0, 0.8, (10, 2)), 0.1
    rows[:10, 4] = random.uniform(0.3, 0.7, 10)
    is_face = random.random(10) < 0.5
    rows[:10, 5:] = np.stack([np.where(is_face, 1.0, -1.0), is_face * 0.8, np.ones(10)], axis=1)
    oracle, face = np.zeros(12, np.float32), np.full(12, -1)
    oracle[:10], face[:10] = is_face * 0.9, np.where(is_face, np.arange(10), -1)
    return Example(np.zeros((64, 64, 3), np.uint8), rows, oracle, face, (64, 64))


def test_it_learns_to_follow_an_opinion_that_is_right() -> None:
    torch.manual_seed(0)
    model = ranker.create("committee", 12, 64, opinions=["a"])
    trainer = Trainer(
        model,
        losses.create("face-or-not", 10, model.scale),
        iterations=40,
        learning_rate=1e-2,
        final_learning_rate=1e-3,
    )
    for step in range(40):
        trainer.step(step, [example(4 * step + place) for place in range(4)])
    unseen = example(10_000)
    candidates = unseen.rows[:10].copy()
    candidates[:, :4] *= 64
    candidates[:, 2:4] += candidates[:, :2]
    refined = trainer.trained().refine(np.zeros((64, 64, 3), np.uint8), candidates)
    is_face = unseen.oracle[:10] > 0.5
    assert refined[is_face].min() > refined[~is_face].max()
