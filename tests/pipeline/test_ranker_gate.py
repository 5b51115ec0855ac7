"""A ranker that does not help leaves confidences alone; one that helps is used, as far as it helps."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from interrupted import StoppedError, interrupt_after
from ranker_world import World, candidates, small_config

from crface import ranker
from crface.evaluation.matching import match
from pipeline.errors import UsageError
from pipeline.images.decode import read_image
from pipeline.train.choice import Choice, read_choice
from pipeline.train.gating import choose, quality
from pipeline.train.held_out import folds, held_out, sequences
from pipeline.train.looks import Look, Seen, joined, read_looks, write_look
from pipeline.train.plan import TrainPlan, plan_train
from pipeline.train.sizing import sized
from pipeline.train.work import train

FACE = np.array([[10.0, 10, 40, 40]])


def seen(gap: float, num_images: int = 40, seed: int = 0) -> Seen:
    """Detections of pictures with one face: its box is `gap` more confident than a wrong one on average."""
    random = np.random.default_rng(seed)
    noise = random.normal(0, 0.1, (num_images, 2))
    rows = [
        np.array([[10, 10, 40, 40, 0.5 + gap + a], [60, 60, 90, 90, 0.5 + b]], np.float32) for a, b in noise
    ]
    hits = match(rows, [FACE] * num_images)
    return Seen(hits, np.tile([True, False], num_images))


def look(gaps: dict[float, float], num_images: int = 40) -> Look:
    kept = {"hard": np.ones(num_images, bool), "easy": np.zeros(num_images, bool)}
    return Look({share: (seen(gap, num_images),) for share, gap in gaps.items()}, kept)


def test_a_state_that_helps_is_chosen_with_the_smallest_share_that_is_as_good() -> None:
    some, more = look({0.0: 0.0, 0.5: 0.05, 1.0: 0.1}), look({0.0: 0.0, 0.5: 0.4, 1.0: 0.4})
    choice = choose({100: some, 200: more})
    assert (choice.step, choice.share) == (200, 0.5)
    assert choice.predicted == quality(more, 0.0) < choice.ranked == quality(more, 0.5)
    assert 0 < choice.low < choice.ranked - choice.predicted < choice.high
    assert choice.num_images == 40


def noisy(quality_of: dict[float, float], seeds: dict[float, int], num_images: int = 40) -> Look:
    """As `look`, with other noise for a share than for the others."""
    kept = {"hard": np.ones(num_images, bool), "easy": np.zeros(num_images, bool)}
    return Look({s: (seen(gap, num_images, seeds.get(s, 0)),) for s, gap in quality_of.items()}, kept)


def test_a_share_that_another_is_told_to_be_better_than_is_not_taken_however_uncertain_the_best_is() -> None:
    gaps, seeds = {0.0: 0.0, 0.25: 0.07, 0.5: 0.1, 1.0: 0.1}, {1.0: 3}
    best_alone = {share: gap for share, gap in gaps.items() if share != 0.5}
    assert (
        choose({1: noisy(best_alone, seeds)}).share == 0.25
    )  # the best, of other noise, is not told from it
    assert choose({1: noisy(gaps, seeds)}).share == 0.5  # which alone is told from it


def test_a_refinement_that_does_not_help_gets_no_share() -> None:
    choice = choose({100: look({0.0: 0.1, 0.5: 0.1, 1.0: 0.0})})
    assert choice.share == 0
    assert choice.calibration == (1.0, 1.0, 0.0)
    assert choice.low <= 0


def test_a_gain_too_small_for_so_few_pictures_gets_no_share() -> None:
    gaps = {0.0: 0.0, 1.0: 0.04}
    assert choose({1: look(gaps, 6)}).share == 0
    assert choose({1: look(gaps, 1500)}).share == 1


def test_confidences_are_not_calibrated_where_official_ap_would_suffer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    helpful = {1: look({0.0: 0.0, 1.0: 0.15}, 400)}
    assert choose(helpful).calibration != (1.0, 1.0, 0.0)
    # keeps every order, but leaves all confidences so close to 0 or 1 that even thresholds cannot part them
    monkeypatch.setattr("pipeline.train.gating.fitted_calibration", lambda *_: (30.0, 30.0, 0.0))
    assert choose(helpful).calibration == (1.0, 1.0, 0.0)


def test_pictures_without_faces_close_the_gate() -> None:
    empty = look({0.0: 0.0, 1.0: 0.4})
    assert choose({1: Look(empty.seen, {"hard": np.zeros(40, bool)})}).share == 0


def test_looks_are_read_as_they_were_written(tmp_path: Path) -> None:
    first = look({0.0: 0.0, 0.5: 0.3})
    write_look(tmp_path, 20, first)
    write_look(tmp_path, 100, look({0.0: 0.0, 0.5: 0.4}))
    found = read_looks(tmp_path)
    assert list(found) == [20, 100]
    for share, (one,) in first.seen.items():
        (other,) = found[20].seen[share]
        assert np.array_equal(one.is_right, other.is_right)
        for field in dataclasses.fields(one.hits):
            assert np.array_equal(getattr(one.hits, field.name), getattr(other.hits, field.name))
    assert choose(found) == choose({20: first, 100: look({0.0: 0.0, 0.5: 0.4})})


def test_joined_looks_are_a_look_at_all_pictures() -> None:
    parts = [look({0.0: 0.0, 1.0: 0.3}, count) for count in (10, 30)]
    whole = joined(parts)
    assert len(whole.seen[1.0][0].hits.num_detections) == 40
    assert len(whole.kept["hard"]) == 40
    rows = choose({1: whole})
    assert rows.num_images == 40


# Which images are held out.


def test_pictures_of_a_sequence_are_held_out_together() -> None:
    paths = [f"clips/{clip}_{frame:04}.jpg" for clip in "abcdefghijklmno" for frame in range(4)]
    groups = sequences(paths)
    assert sorted(map(len, groups)) == [4] * 15
    kept, out = held_out(range(60), paths, 0.2, seed=0)
    assert {paths[row][:7] for row in kept} & {paths[row][:7] for row in out} == set()
    assert 12 <= len(out) <= 16


@pytest.mark.parametrize(
    "names",
    ["photos/{}.jpg", "0--Parade/0_Parade_Parade_0_{}.jpg", "camera/IMG_{:04}.jpg", "{:03}--x/{}.jpg"],
)
def test_numbered_pictures_are_no_sequence(names: str) -> None:
    paths = [names.format(number, number) for number in range(30)]
    assert sequences(paths) == [[number] for number in range(30)]


def test_every_picture_lies_in_one_fold() -> None:
    paths = [f"photos/{number}.jpg" for number in range(31)]
    parts = folds(range(100, 131), paths, 3, seed=4)
    assert sorted(row for part in parts for row in part) == list(range(100, 131))
    assert sorted(map(len, parts)) == [10, 10, 11]
    assert parts == folds(range(100, 131), paths, 3, seed=4)


# The stage.


def planned(world: World, **changes: int | float | str | bool) -> TrainPlan:
    values = {"gate": True, "validation_share": 0.34, "validate_every": 2, "ranker": "per-box"}
    return plan_train(world.workspace, world.index(), [world.cache()], small_config(**{**values, **changes}))


def test_a_ranker_that_learnt_from_random_labels_is_not_used(tmp_path: Path) -> None:
    world = World(tmp_path, num_images=8)  # noise for pictures: nothing in them tells a face
    plan = planned(world)
    model = ranker.load(train(plan))
    choice = read_choice(plan.choice_file)
    assert choice.share == 0
    found = candidates(2, len("pretended"))
    assert np.array_equal(model.refine(read_image(world.images / "2.png"), found), found[:, 4])
    assert not np.array_equal(model.refine_all(read_image(world.images / "2.png"), found), found[:, 4])


def test_without_a_gate_all_of_the_refinement_is_used(tmp_path: Path) -> None:
    plan = planned(World(tmp_path), gate=False)
    assert ranker.load(train(plan)).gate is None
    assert not plan.choice_file.exists()
    assert "gate" not in plan.parts["train"]


def test_a_gate_needs_held_out_images(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"train.gate asks held-out images .* or gate = false"):
        planned(World(tmp_path), validation_share=0.0)


def test_few_images_are_all_held_out_once_and_all_trained_on_in_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    helpful = Choice(4, 0.5, 0.1, 0.2, 0.05, 0.15, 6, (1.0, 1.0, 0.0))
    monkeypatch.setattr("pipeline.train.run.choose", lambda looks: helpful)
    plan = planned(World(tmp_path), folds=3)
    steps: list[int] = []
    model = ranker.load(train(plan, progress=lambda done: steps.append(done.steps_done)))
    assert steps == list(
        range(1, 3 * 6 + 4 + 1)
    )  # three trainings of six steps, and one up to the chosen state
    assert model.gate is not None
    assert float(model.gate.share) == 0.5
    pictures = [read_looks(plan.folder / f"fold-{n}" / "looks")[6].seen[0.0][0] for n in (1, 2, 3)]
    assert [len(one.hits.num_detections) for one in pictures] == [2, 2, 2]


def test_an_interrupted_cross_fit_ends_as_one_that_was_not(tmp_path: Path) -> None:
    broken, unbroken = (planned(World(tmp_path / name), folds=2) for name in ("a", "b"))
    with pytest.raises(StoppedError):
        train(broken, progress=interrupt_after(9))
    again = plan_train(broken.workspace, broken.index, broken.keys, broken.config)
    assert (again.state, again.steps_done) == ("resume", 8)
    assert train(again).read_bytes() == train(unbroken).read_bytes()
    assert read_choice(again.choice_file) == read_choice(unbroken.choice_file)


def test_a_size_left_open_follows_from_the_number_of_images() -> None:
    config = small_config(iterations=0, validate_every=0, folds=0, batch_size=8)
    found = {count: sized(config, count) for count in (20, 428, 12_880)}
    assert [(one.iterations, one.folds) for one in found.values()] == [(200, 3), (482, 1), (4000, 1)]
    assert found[428].validate_every == 81
    assert sized(config.model_copy(update={"ranker": "per-box"}), 428).iterations == 1444
    assert sized(small_config(), 428) == small_config()
