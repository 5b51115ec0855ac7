"""The ranker's training: boxes move with the pixels, steps come from the seed, resuming is exact."""

import tomllib
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from interrupted import StoppedError, interrupt_after
from ranker_examples import batch, example
from ranker_world import World, candidates, small_config

from crface import losses, ranker
from crface.boxes import iou
from crface.training.augmentation import Transform, colour_map, draw_transform
from crface.training.examples import draw, make_example
from crface.training.trainer import Trainer, learning_rate
from pipeline.blocks.complete import open_complete
from pipeline.config.sections import TrainConfig
from pipeline.errors import UserError
from pipeline.train.examples import ExampleSource
from pipeline.train.plan import TrainPlan, plan_train
from pipeline.train.progress import TrainProgress
from pipeline.train.work import train
from pipeline.workspace.layout import CandidateKey

UNCHANGED = colour_map(0.0, 1.0, 1.0, 0.0)


def transform(
    window: tuple[int, int, int, int], size: tuple[int, int], is_mirrored: bool = False
) -> Transform:
    return Transform(window=window, size=size, is_mirrored=is_mirrored, colours=UNCHANGED)


def boxes(*rows: list[float]) -> np.ndarray:
    return np.array(rows, np.float32).reshape(-1, 4)


def test_a_crop_shifts_a_change_of_scale_multiplies_and_a_mirror_swaps_left_and_right() -> None:
    box = boxes([30, 20, 50, 60])
    assert transform((10, 10, 80, 60), (80, 60)).boxes(box).tolist() == [[20, 10, 40, 50]]
    assert transform((0, 0, 100, 80), (50, 20)).boxes(box).tolist() == [[15, 5, 25, 15]]
    assert transform((0, 0, 100, 80), (100, 80), is_mirrored=True).boxes(box).tolist() == [[50, 20, 70, 60]]


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 100_000))
def test_the_pixels_inside_a_box_go_where_the_box_goes(seed: int) -> None:
    random = np.random.default_rng(seed)
    image = np.zeros((120, 160, 3), np.uint8)
    image[48:80, 64:96] = 255
    drawn = draw_transform(random, 160, 120, side_px=128)
    picture = drawn.picture(image)
    x1, y1, x2, y2 = drawn.boxes(boxes([64, 48, 96, 80]))[0]
    assert picture.shape[:2] == drawn.size[::-1]
    assert max(drawn.size) <= 128
    inside = np.zeros(picture.shape[:2], bool)
    inside[max(0, round(y1)) : max(0, round(y2)), max(0, round(x1)) : max(0, round(x2))] = True
    is_bright = picture.astype(int).sum(axis=2) > (int(picture.max()) + int(picture.min())) * 1.5
    edge = 2 * (2 * (x2 - x1) + 2 * (y2 - y1))  # a pixel of blur on either side
    assert (inside != is_bright).sum() <= edge or not inside.any() or inside.all()


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 100_000))
def test_overlaps_are_the_same_after_any_transform(seed: int) -> None:
    random = np.random.default_rng(seed)
    corners = random.uniform(0, 80, (6, 2))
    some = np.concatenate([corners, corners + random.uniform(5, 40, (6, 2))], axis=1).astype(np.float32)
    moved = draw_transform(random, 200, 100, 64).boxes(some)
    before, after = (iou(torch.from_numpy(b), torch.from_numpy(b)) for b in (some, moved))
    torch.testing.assert_close(after, before, atol=1e-4, rtol=0)


def test_a_box_stays_if_its_centre_is_inside_the_crop() -> None:
    cropped = transform((10, 0, 50, 50), (50, 50))
    assert cropped.holds(boxes([0, 0, 19, 20], [0, 0, 21, 20], [40, 40, 70, 62])).tolist() == [
        False,
        True,
        False,
    ]


def test_colours_change_as_their_names_say() -> None:
    grey, red = np.array([100, 100, 100, 1.0]), np.array([200, 40, 40, 1.0])
    np.testing.assert_allclose(UNCHANGED @ red, red[:3], atol=1e-3)
    np.testing.assert_allclose(colour_map(10.0, 1.0, 1.0, 0.0) @ grey, [110, 110, 110], rtol=1e-5)
    np.testing.assert_allclose(colour_map(0.0, 2.0, 1.0, 0.0) @ grey, [72.5, 72.5, 72.5], rtol=1e-5)
    np.testing.assert_allclose(
        colour_map(0.0, 1.0, 0.0, 0.0) @ red, np.full(3, 0.299 * 200 + 0.701 * 40), rtol=1e-2
    )
    np.testing.assert_allclose(colour_map(0.0, 1.0, 1.0, 90.0) @ grey, grey[:3], atol=0.2)  # grey has no hue
    turned = colour_map(0.0, 1.0, 1.0, 120.0) @ red
    assert turned[0] < 150


def test_every_image_is_seen_once_an_epoch_also_where_a_batch_spans_two() -> None:
    drawn = [
        image
        for step in range(10)
        for image in draw(3, step, num_images=7, num_detectors=1, batch_size=7).images
    ]
    odd = [
        image
        for step in range(14)
        for image in draw(3, step, num_images=7, num_detectors=1, batch_size=5).images
    ]
    assert odd == drawn
    epochs = [tuple(drawn[start : start + 7]) for start in range(0, 70, 7)]
    assert all(sorted(epoch) == list(range(7)) for epoch in epochs)
    assert len(set(epochs)) > 5


def test_every_detector_is_drawn_and_another_seed_draws_otherwise() -> None:
    detectors = [draw(0, step, 5, 3, 2).detector for step in range(60)]
    assert set(detectors) == {0, 1, 2}
    assert detectors != [draw(1, step, 5, 3, 2).detector for step in range(60)]


def test_the_learning_rate_falls_exponentially_from_first_to_last() -> None:
    rates = [learning_rate(step, 4, 1e-3, 1e-6) for step in range(4)]
    np.testing.assert_allclose(rates, [1e-3, 1e-4, 1e-5, 1e-6])
    assert learning_rate(0, 1, 1e-3, 1e-6) == 1e-3


def test_an_example_is_the_same_again_and_another_at_another_step() -> None:
    first, again, later = example(1, step=4), example(1, step=4), example(1, step=5)
    assert all(
        np.array_equal(getattr(first, name), getattr(again, name)) for name in ("picture", "rows", "oracle")
    )
    assert not np.array_equal(first.picture, later.picture)


def test_a_candidate_on_a_face_has_oracle_confidence_one_and_padding_none() -> None:
    candidates = np.array([[10, 10, 30, 30, 0.9], [40, 20, 50, 30, 0.5]], np.float32)
    made = make_example(np.zeros((48, 64, 3), np.uint8), candidates, candidates[1:, :4], (0, 0, 0), 4, 32)
    is_second = np.isclose(made.rows[:, 4], 0.5)
    assert made.oracle[is_second].tolist() == [1.0] * int(is_second.sum())
    assert not made.oracle[~is_second].any()


def test_an_image_without_candidates_or_faces_is_an_example_too() -> None:
    nothing = np.zeros((0, 5), np.float32)
    made = make_example(np.zeros((48, 64, 3), np.uint8), nothing, nothing[:, :4], (0, 0, 0), 4, 32)
    assert not made.rows.any()
    assert not made.oracle.any()


def trainer(seed: int = 0) -> Trainer:
    torch.manual_seed(seed)
    model = ranker.create("small", 8, 32)
    return Trainer(
        model, losses.create("rank", 3), iterations=6, learning_rate=1e-3, final_learning_rate=1e-5
    )


def test_stopping_and_resuming_gives_the_weights_of_an_unbroken_run_bit_for_bit() -> None:
    unbroken = trainer()
    losses_unbroken = [unbroken.step(step, batch(step)) for step in range(6)]
    before = trainer()
    for step in range(3):
        before.step(step, batch(step))
    after = trainer(seed=1)  # other weights, all of which the state replaces
    after.restore(before.state())
    assert [after.step(step, batch(step)) for step in range(3, 6)] == losses_unbroken[3:]
    one, other = unbroken.state(), after.state()
    assert one.keys() == other.keys()
    assert all(torch.equal(one[key], other[key]) for key in one)


def test_a_loss_that_is_not_finite_stops_before_it_reaches_the_weights() -> None:
    broken = trainer()
    broken.step(0, batch(0))
    before = broken.state()
    poisoned = batch(1)
    poisoned[0].rows[0, 4] = np.nan
    with pytest.raises(FloatingPointError, match="nan at step 1"):
        broken.step(1, poisoned)
    parameters = {key for key, _ in broken.model.named_parameters()}
    assert all(torch.equal(broken.state()[f"model.{key}"], before[f"model.{key}"]) for key in parameters)


def test_a_state_of_another_network_is_refused_in_words() -> None:
    torch.manual_seed(0)
    other = Trainer(
        ranker.create("small", 9, 32),
        losses.create("rank", 3),
        iterations=6,
        learning_rate=1e-3,
        final_learning_rate=1e-5,
    )
    with pytest.raises(ValueError, match="does not fit the network"):
        other.restore(trainer().state())


# The stage: files in, files out.


def planned(world: World, *keys: CandidateKey, **changes: int | float | str) -> TrainPlan:
    return plan_train(world.workspace, world.index(), keys, small_config(**changes))


def test_a_training_leaves_a_ranker_with_its_recipe_metrics_and_events(tmp_path: Path) -> None:
    world = World(tmp_path)
    plan = planned(world, world.cache())
    assert (plan.state, plan.reasons) == ("new", ("no ranker has been trained yet",))
    seen: list[TrainProgress] = []
    model = ranker.load(train(plan, progress=seen.append))
    assert (model.num_candidates, model.image_side_px) == (16, 64)
    assert [done.steps_done for done in seen] == [1, 2, 3, 4, 5, 6]
    assert seen[0].learning_rate == 1e-3
    recipe = tomllib.loads((plan.folder / "config.toml").read_text())["train"]
    assert TrainConfig.model_validate(recipe) == plan.config
    lines = (plan.folder / "metrics.csv").read_text().split()
    assert lines[0] == "step,loss,learning_rate"
    assert [float(line.split(",")[1]) for line in lines[1:]] == [done.loss for done in seen]
    assert len(list(plan.folder.glob("events.out*"))) == 1
    assert [path.name for path in sorted((plan.folder / "checkpoints").iterdir())] == [
        "step-00000004.safetensors", "step-00000006.safetensors",
    ]  # fmt: skip
    assert not np.array_equal(
        model.refine(np.zeros((40, 56, 3), np.uint8), candidates(0)), candidates(0)[:, 4]
    )


def test_a_finished_training_is_not_done_again(tmp_path: Path) -> None:
    world = World(tmp_path)
    key = world.cache()
    made = train(planned(world, key))
    before = made.stat().st_mtime_ns
    again = planned(world, key)
    assert (again.state, again.reasons) == ("done", ())
    assert train(again, progress=interrupt_after(1)) == made
    assert made.stat().st_mtime_ns == before


def test_an_interrupted_training_goes_on_and_ends_as_if_it_had_not_been(tmp_path: Path) -> None:
    world, other = World(tmp_path / "a"), World(tmp_path / "b")
    keys = [world.cache("one"), world.cache("another")]
    with pytest.raises(StoppedError):
        train(planned(world, *keys), progress=interrupt_after(5))
    plan = planned(world, *keys)
    assert (plan.state, plan.steps_done, plan.reasons) == ("resume", 4, ("interrupted after 4 of 6 steps",))
    broken = train(plan)
    unbroken = train(planned(other, other.cache("one"), other.cache("another")), num_threads=1)
    assert broken.read_bytes() == unbroken.read_bytes()
    metrics = [path.with_name("metrics.csv").read_text() for path in (broken, unbroken)]
    assert metrics[0] == metrics[1]


def test_a_damaged_checkpoint_costs_the_steps_since_the_one_before(tmp_path: Path) -> None:
    world = World(tmp_path)
    key = world.cache()
    with pytest.raises(StoppedError):
        train(planned(world, key), progress=interrupt_after(4))
    (planned(world, key).folder / "checkpoints" / "step-00000004.safetensors").write_bytes(b"cut")
    seen: list[TrainProgress] = []
    train(planned(world, key), progress=seen.append)
    assert [done.steps_done for done in seen] == [3, 4, 5, 6]


def test_what_decides_the_ranker_makes_another_one_and_is_named_and_nothing_else_does(tmp_path: Path) -> None:
    world = World(tmp_path)
    key = world.cache()
    first = planned(world, key)
    train(first)
    assert planned(world, key, checkpoint_every=5).state == "done"
    slower = planned(world, key, learning_rate=5e-4)
    assert (slower.state, slower.reasons) == ("new", ("train.learning_rate: 0.001 -> 0.0005",))
    two = planned(world, key, world.key("another"))
    assert two.reasons == (f"candidates.2 another: absent -> single {world.key('another').fingerprint}",)
    world.draw(0, seed=77)
    assert [reason.split(":")[0] for reason in planned(world, key).reasons] == ["images"]


def test_training_waits_for_candidates_that_are_missing_or_of_an_older_image(tmp_path: Path) -> None:
    world = World(tmp_path)
    with pytest.raises(UserError, match="crface cache"):
        train(planned(world, world.key()))
    key = world.cache()
    world.draw(0, seed=77)
    with pytest.raises(UserError, match="pretended on the train split are not complete: 1 image changed"):
        train(planned(world, key))
    world.add_images(2)
    with pytest.raises(UserError, match="2 images added"):
        train(planned(world, key))
    world.cache()
    assert train(planned(world, key)).is_file()


def test_images_without_candidates_are_left_out_of_training(tmp_path: Path) -> None:
    world = World(tmp_path, num_images=3)
    assert train(planned(world, world.cache(empty_rows=[1]))).is_file()


def test_a_diverging_training_says_where_and_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def diverged(*_: object, **__: object) -> losses.Loss:
        return lambda refined, _: refined.sum() * torch.nan

    world = World(tmp_path)
    plan = planned(world, world.cache())
    monkeypatch.setattr(losses, "create", diverged)
    with pytest.raises(
        UserError,
        match=r"loss is nan at step 0; .* lower train.learning_rate \(it is 0.001\), .* kept in .*: event/",
    ):
        train(plan)
    with np.load(plan.folder / "failed-step-0.npz") as batch:
        assert {name: values.shape for name, values in batch.items()} == {
            "picture": (2, 64, 64, 3), "rows": (2, 16, 5), "oracle": (2, 16), "face": (2, 16), "size": (2, 2),
        }  # fmt: skip


def test_a_split_without_labelled_faces_cannot_be_trained_on(tmp_path: Path) -> None:
    world = World(tmp_path)
    key = world.cache()
    annotations = world.data / "wider_face_split" / "wider_face_train_bbx_gt.txt"
    annotations.write_text(
        annotations.read_text().replace(" 12 12 0", " 0 12 0").replace(" 8 10 0", " 8 0 0")
    )
    with pytest.raises(UserError, match="no labelled face"):
        train(planned(world, key))


def source(world: World, side_px: int, cache_bytes: int) -> ExampleSource:
    return ExampleSource(
        world.index(), range(world.num_images), [], small_config(image_side_px=side_px), cache_bytes
    )


def test_large_photographs_are_reduced_and_their_faces_with_them(tmp_path: Path) -> None:
    world = World(tmp_path, size=(160, 224))
    whole, reduced = (source(world, side, 0).photograph(0) for side in (112, 64))
    assert whole.image.shape == (160, 224, 3)
    assert reduced.image.shape == (91, 128, 3)
    np.testing.assert_allclose(whole.faces, [[4, 4, 16, 16], [30, 20, 38, 30]])
    np.testing.assert_allclose(reduced.faces, whole.faces * np.array([128 / 224, 91 / 160] * 2), rtol=1e-5)
    np.testing.assert_allclose(reduced.scale, [128 / 224, 91 / 160] * 2, rtol=1e-6)


def test_an_image_is_read_once_while_memory_lasts(tmp_path: Path) -> None:
    images = source(World(tmp_path, num_images=2), 64, cache_bytes=40 * 56 * 3)
    first = images.photograph(0)
    assert images.photograph(0) is first
    assert images.photograph(1) is not images.photograph(1)


def test_candidates_are_read_once_while_memory_lasts(tmp_path: Path) -> None:
    world = World(tmp_path)
    stores = [open_complete(world.workspace, world.index(), world.cache())]
    sources = [
        ExampleSource(world.index(), range(6), stores, small_config(), cache_bytes)
        for cache_bytes in (400, 0)
    ]
    first, never = ([source.candidates(0, 0) for _ in range(2)] for source in sources)
    assert first[0] is first[1]  # 20 boxes of 20 bytes
    assert sources[0].candidates(1, 0) is not sources[0].candidates(1, 0)
    assert never[0] is not never[1]
    np.testing.assert_array_equal(first[0], candidates(0, len("pretended")))
