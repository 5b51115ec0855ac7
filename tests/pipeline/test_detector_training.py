"""What users may rely on when a detector is trained: augmentation, schedules, runs that are resumed."""

import math
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from click.testing import CliRunner
from places import ROOT

import detectors
from crface.training.batches import batch_images
from crface.weights import load_state, save_state
from detectors.networks.hambox import hambox_slim
from detectors.networks.retinaface import mobilenet025
from detectors.training.augmentation import LabelledImage, Sample, Scales, augment
from detectors.training.config import DetectorTrainConfig
from detectors.training.trainer import StepReport, Trainer, learning_rate
from pipeline.dataset.index import Index, update_index
from pipeline.errors import UsageError, UserError
from pipeline.train.detector import DetectorTraining, Start, train_detector
from pipeline.workspace.layout import Workspace
from pipeline.workspace.place import Place, local_copy, parse_place
from workflows.cli.main import cli

NAME = "retinaface-mobilenet0.25"
SHIPPED = ROOT / "detectors" / "pretrained" / f"{NAME}.safetensors"
TINY = DetectorTrainConfig(
    side_px=64,
    batch_size=2,
    iterations=6,
    learning_rate=0.01,
    warmup_iterations=2,
    checkpoint_every=2,
    smallest_scale=0.5,
)


# Augmentation


SCALES = Scales(smallest=0.35, largest=2.5, min_face_px=6.0)


def _picture_with_squares(rng: np.random.Generator, num_faces: int = 4) -> LabelledImage:
    """A grey picture whose faces are black squares in its quarters, so that they can be found again."""
    image = np.full((200, 260, 3), 128, np.uint8)
    faces = np.zeros((num_faces, 4), np.float32)
    for i in range(num_faces):
        x, y = 20 + 130 * (i % 2), 15 + 100 * (i // 2)
        side = int(rng.integers(20, 70))
        image[y : y + side, x : x + side] = (0, 0, 0)
        faces[i] = (x, y, x + side, y + side)
    return LabelledImage(image, faces, np.ones(num_faces, bool))


def test_the_same_generator_state_gives_the_same_bytes_and_another_gives_others() -> None:
    source = _picture_with_squares(np.random.default_rng(0))
    one, same, other = (augment(source, 96, SCALES, np.random.default_rng(seed)) for seed in (5, 5, 6))
    assert one.image.tobytes() == same.image.tobytes()
    assert one.faces.tobytes() == same.faces.tobytes()
    assert one.image.tobytes() != other.image.tobytes()


def test_boxes_stay_on_their_faces_through_crop_scale_and_mirror() -> None:
    num_seen = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        source = _picture_with_squares(rng)
        sample = augment(source, 128, SCALES, rng)
        assert sample.image.shape == (128, 128, 3)
        assert (sample.faces >= 0).all()
        assert (sample.faces <= 128).all()
        luma = sample.image.mean(axis=2)
        for x1, y1, x2, y2 in sample.faces:
            if min(x2 - x1, y2 - y1) < 12:
                continue
            inner = luma[math.ceil(y1) + 3 : int(y2) - 3, math.ceil(x1) + 3 : int(x2) - 3]
            y_out, x_out = int(y2) + 4, int(x2) + 4
            if inner.size and max(y_out, x_out) < 128:
                num_seen += 1
                assert inner.mean() < luma[y_out, x_out] - 20  # dark inside, grey or padding outside
    assert num_seen > 40


def test_faces_that_are_invalid_tiny_or_cut_become_ignored_regions() -> None:
    image = np.zeros((100, 100, 3), np.uint8)
    faces = np.array([[10, 10, 40, 40], [60, 60, 64, 64], [50, 10, 90, 50]], np.float32)
    source = LabelledImage(image, faces, np.array([True, True, False]))
    unscaled = Scales(smallest=1.0, largest=1.0, min_face_px=6.0)
    sample = augment(source, 100, unscaled, np.random.default_rng(1))
    assert len(sample.faces) == 1
    assert sorted((sample.ignored[:, 2] - sample.ignored[:, 0]).tolist()) == [4, 40]


def test_landmarks_move_with_their_faces_and_change_sides_in_a_mirror() -> None:
    base = _picture_with_squares(np.random.default_rng(4))
    corners = base.faces
    low, high = corners[:, :2], corners[:, 2:]
    points = np.stack(
        [
            low,
            np.stack([high[:, 0], low[:, 1]], 1),
            (low + high) / 2,
            np.stack([low[:, 0], high[:, 1]], 1),
            high,
        ],
        1,
    )
    points[1] = np.nan
    source = LabelledImage(base.image, base.faces, base.is_valid, points.astype(np.float32))
    num_seen = 0
    for seed in range(40):
        sample = augment(source, 128, SCALES, np.random.default_rng(seed))
        plain = augment(base, 128, SCALES, np.random.default_rng(seed))
        assert sample.landmarks is not None
        assert plain.landmarks is None
        np.testing.assert_array_equal(sample.faces, plain.faces)
        for face, found in zip(sample.faces, sample.landmarks, strict=True):
            if np.isnan(found).any() or (face <= 0).any() or (face >= 128).any():
                continue
            num_seen += 1
            x1, y1, x2, y2 = face
            expected = [[x1, y1], [x2, y1], [(x1 + x2) / 2, (y1 + y2) / 2], [x1, y2], [x2, y2]]
            np.testing.assert_allclose(found, expected, atol=1e-3)
    assert num_seen > 20


def test_faces_of_all_sizes_between_ten_pixels_and_the_side_appear() -> None:
    source = _picture_with_squares(np.random.default_rng(3))
    sides = []
    for seed in range(150):
        faces = augment(source, 128, SCALES, np.random.default_rng(seed)).faces
        sides += (faces[:, 2:] - faces[:, :2]).max(axis=1).tolist()
    assert min(sides) < 12
    assert max(sides) > 80


def test_a_photograph_without_faces_or_smaller_than_the_crop_gives_a_sample() -> None:
    for shape in ((300, 400, 3), (3, 2, 3)):
        source = LabelledImage(np.zeros(shape, np.uint8), np.zeros((0, 4), np.float32), np.zeros(0, bool))
        sample = augment(source, 64, SCALES, np.random.default_rng(0))
        assert sample.image.shape == (64, 64, 3)
        assert len(sample.faces) == len(sample.ignored) == 0


# Schedule and order


def test_learning_rate_rises_stays_and_falls_to_just_above_zero() -> None:
    config = DetectorTrainConfig(
        iterations=100, warmup_iterations=10, decay_share=0.4, learning_rate=0.5, checkpoint_every=1
    )
    rates = [learning_rate(config, step) for step in range(100)]
    assert rates[0] == pytest.approx(0.05)
    assert rates[9:60] == [0.5] * 51
    assert rates[61] == pytest.approx(0.5 * 39 / 41)
    assert rates[99] == pytest.approx(0.5 / 41)


def test_at_each_milestone_the_learning_rate_falls_by_the_factor() -> None:
    config = DetectorTrainConfig(
        iterations=100, warmup_iterations=0, decay_share=0.0, learning_rate=0.5, milestones=(30, 60)
    )
    rates = [learning_rate(config, step) for step in (0, 29, 30, 59, 60, 99)]
    assert rates == pytest.approx([0.5, 0.5, 0.05, 0.05, 0.005, 0.005])


def test_up_to_the_decay_the_learning_rate_does_not_depend_on_the_length_of_the_run() -> None:
    short, long = DetectorTrainConfig(iterations=1000), DetectorTrainConfig(iterations=5000)
    assert all(learning_rate(short, s) == learning_rate(long, s) for s in range(short.decay_start))


def test_every_epoch_shows_every_image_once_in_an_order_of_its_own() -> None:
    shown = np.concatenate([batch_images(3, step, 10, 4) for step in range(5)])
    assert sorted(shown[:10]) == sorted(shown[10:]) == list(range(10))
    assert shown[:10].tolist() != shown[10:].tolist()
    assert list(batch_images(3, 2, 10, 4)) == shown[8:12].tolist()


def test_short_names_of_a_precision_are_accepted_and_recorded() -> None:
    config = DetectorTrainConfig.model_validate({"precision": "bf16"})
    assert config == DetectorTrainConfig(precision="bfloat16")
    assert config.model_dump()["precision"] == "bf16"
    assert DetectorTrainConfig().model_dump()["precision"] == "fp32"


def test_impossible_settings_are_refused() -> None:
    with pytest.raises(ValueError, match="batch_size"):
        DetectorTrainConfig(batch_size=1)
    with pytest.raises(ValueError, match="smallest_scale"):
        DetectorTrainConfig(smallest_scale=2.0, largest_scale=1.0)


# Training


def _fixed_samples(num: int, side: int) -> list[Sample]:
    rng = np.random.default_rng(0)
    samples = []
    for _ in range(num):
        image = rng.integers(0, 60, (side, side, 3), dtype=np.uint8)
        x, y = rng.integers(4, side - 36, 2)
        image[y : y + 30, x : x + 30] = (240, 200, 180)
        face = np.array([[x, y, x + 30, y + 30]], np.float32)
        samples.append(Sample(image, face, np.zeros((0, 4), np.float32)))
    return samples


def test_training_learns_to_find_bright_squares() -> None:
    config = DetectorTrainConfig(
        side_px=64, batch_size=8, iterations=60, warmup_iterations=5, average_decay=0.8, learning_rate=0.02
    )
    trainer = Trainer(mobilenet025(), config)
    samples = _fixed_samples(8, 64)
    reports = [trainer.step(samples) for _ in range(config.iterations)]
    assert reports[-1].loss < 0.3 * reports[0].loss
    network = mobilenet025()
    network.load_state_dict(trainer.average)
    detector = detectors.adapter.NetworkDetector("trained", network)
    for sample in samples:
        best = detector.candidates([sample.image])[0][0]
        assert np.abs(best[:4] - sample.faces[0]).max() < 8
        assert best[4] > 0.5


def test_sgd_with_bfloat16_learns_too() -> None:
    config = DetectorTrainConfig(
        side_px=64,
        batch_size=8,
        iterations=30,
        warmup_iterations=5,
        optimizer="sgd",
        learning_rate=0.003,
        weight_decay=5e-4,
        precision="bfloat16",
    )
    trainer = Trainer(mobilenet025(), config)
    samples = _fixed_samples(8, 64)
    reports = [trainer.step(samples) for _ in range(config.iterations)]
    assert reports[-1].loss < 0.7 * reports[0].loss
    assert {value.dtype for value in trainer.average.values()} == {torch.float32, torch.int64}


def test_high_quality_anchors_are_mined_and_landmarks_learned_where_the_recipe_says_so() -> None:
    base = {"side_px": 64, "batch_size": 2, "iterations": 4, "warmup_iterations": 0}
    samples = _fixed_samples(2, 64)
    for sample in samples:
        object.__setattr__(sample, "landmarks", np.full((1, 5, 2), 30, np.float32))
    landmarks = Trainer(mobilenet025(), DetectorTrainConfig(**base, landmark_weight=1.0)).step(samples)
    assert landmarks.landmark_loss > 0
    assert landmarks.loss == pytest.approx(
        2.0 * landmarks.box_loss + landmarks.class_loss + landmarks.landmark_loss
    )
    without = Trainer(hambox_slim(), DetectorTrainConfig(**base)).step(samples)
    # at the start boxes are their anchors: with T = 0.3, a face gets neighbours that did not match at 0.35
    with_mining = Trainer(
        hambox_slim(), DetectorTrainConfig(**base, anchors_per_face=100, regressed_iou=0.3)
    ).step(samples)
    assert with_mining.class_loss != without.class_loss


def test_training_can_start_from_a_trunk() -> None:
    trunk = {f"body.{key}": value * 0 + 0.5 for key, value in mobilenet025().body.state_dict().items()}
    trainer = Trainer(mobilenet025(), TINY, start=trunk)
    state = trainer.network.state_dict()
    assert all(bool((state[key] == 0.5).all()) for key, value in trunk.items() if value.ndim)


def test_a_diverging_run_stops_with_advice() -> None:
    trainer = Trainer(mobilenet025(), TINY)
    with torch.no_grad():
        trainer.network.BboxHead[0].conv1x1.bias.fill_(math.inf)
    with pytest.raises(ValueError, match=r"step 0 is not finite: train with a lower learning_rate than 0.01"):
        trainer.step(_fixed_samples(2, 64))


def test_the_start_depends_on_the_seed_alone_and_not_on_the_state_of_torch() -> None:
    torch.manual_seed(1)
    one = Trainer(mobilenet025(), TINY).state()
    torch.manual_seed(2)
    same, other = (
        Trainer(mobilenet025(), TINY).state(),
        Trainer(mobilenet025(), TINY.model_copy(update={"seed": 1})),
    )
    assert all(torch.equal(one[key], same[key]) for key in one)
    assert not torch.equal(one["network.fpn.merge1.0.weight"], other.state()["network.fpn.merge1.0.weight"])


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Index:
    root = tmp_path_factory.mktemp("photographs")
    folder = root / "WIDER_train" / "images" / "0--Squares"
    folder.mkdir(parents=True)
    lines = []
    for i, sample in enumerate(_fixed_samples(5, 96)):
        cv2.imwrite(str(folder / f"square_{i}.jpg"), sample.image)
        x1, y1, x2, y2 = sample.faces[0].astype(int)
        lines += [f"0--Squares/square_{i}.jpg", "1", f"{x1} {y1} {x2 - x1} {y2 - y1} 0 0 0 0 0 0"]
    (root / "wider_face_split").mkdir()
    (root / "wider_face_split" / "wider_face_train_bbx_gt.txt").write_text("\n".join(lines) + "\n")
    return update_index(Workspace(tmp_path_factory.mktemp("workspace")), root, "train").index


def planned(
    index: Index, folder: Place, config: DetectorTrainConfig, start: Start | None = None
) -> DetectorTraining:
    return DetectorTraining(index=index, folder=folder, detector=NAME, config=config, start=start)


class _StopError(Exception):
    pass


def _stop_at(step: int) -> Callable[[StepReport], None]:
    def progress(report: StepReport) -> None:
        if report.step == step:
            raise _StopError

    return progress


def test_a_stopped_and_resumed_run_equals_a_straight_one_bit_for_bit(index: Index, tmp_path: Path) -> None:
    seen: list[StepReport] = []
    straight = train_detector(
        planned(index, tmp_path / "straight", TINY), progress=seen.append, num_threads=2
    )
    assert [report.step for report in seen] == [1, 2, 3, 4, 5, 6]
    with pytest.raises(_StopError):
        train_detector(planned(index, tmp_path / "resumed", TINY), progress=_stop_at(5))
    again: list[StepReport] = []
    resumed = train_detector(
        planned(index, tmp_path / "resumed", TINY), progress=again.append, image_cache_bytes=0
    )
    assert again == seen[4:]
    for name in (straight.name, "checkpoint.safetensors"):
        one, other = load_state(straight.with_name(name)), load_state(resumed.with_name(name))
        assert one.keys() == other.keys()
        assert all(torch.equal(one[key], other[key]) for key in one)


def test_a_training_below_a_url_is_continued_and_equals_one_in_a_folder(index: Index, tmp_path: Path) -> None:
    wanted = load_state(tmp_path / train_detector(planned(index, tmp_path, TINY)).name)
    place = parse_place("memory://detectors-trained")
    with pytest.raises(_StopError):
        train_detector(planned(index, place, TINY), progress=_stop_at(5))
    again: list[StepReport] = []
    weights = train_detector(planned(index, place, TINY), progress=again.append)
    assert [report.step for report in again] == [5, 6]
    with local_copy(weights) as file:
        found = load_state(file)
    assert all(torch.equal(found[key], wanted[key]) for key in wanted)


def test_all_layers_start_from_the_weights_of_a_detector(index: Index, tmp_path: Path) -> None:
    still = TINY.model_copy(update={"learning_rate": 1e-30, "weight_decay": 0.0, "iterations": 2})
    start = Start(SHIPPED, "all")
    weights = train_detector(planned(index, tmp_path / "tuned", still, start))
    shipped = load_state(SHIPPED)
    network = mobilenet025()
    network.load_state_dict(load_state(Path(str(weights))))
    for name, value in network.named_parameters():
        torch.testing.assert_close(value, shipped[name])


def test_a_training_from_weights_is_resumed_bit_for_bit_and_not_from_others(
    index: Index, tmp_path: Path
) -> None:
    start = Start(SHIPPED, "all")
    straight = train_detector(planned(index, tmp_path / "straight", TINY, start))
    with pytest.raises(_StopError):
        train_detector(planned(index, tmp_path / "resumed", TINY, start), progress=_stop_at(5))
    with pytest.raises(UserError, match=r"another training run \(weights: .* -> absent\)"):
        train_detector(planned(index, tmp_path / "resumed", TINY))
    resumed = train_detector(planned(index, tmp_path / "resumed", TINY, start))
    assert resumed.read_bytes() == straight.read_bytes()


def test_weights_that_lack_a_layer_or_are_of_another_detector_are_refused(
    index: Index, tmp_path: Path
) -> None:
    trunk_alone = tmp_path / "trunk.safetensors"
    trunk_alone.write_bytes(
        save_state({k: v for k, v in load_state(SHIPPED).items() if k.startswith("body.")}, {})
    )
    other = SHIPPED.with_name("hambox-slim.safetensors")
    for file, words in (
        (trunk_alone, f"does not fit {NAME}: .* missing"),
        (other, "holds weights of hambox-slim, not of"),
    ):
        with pytest.raises(UserError, match=words):
            train_detector(planned(index, tmp_path / "out", TINY, Start(file, "all")))


def test_a_published_checkpoint_can_be_fine_tuned(index: Index, tmp_path: Path, shared: Path) -> None:
    published = shared / "models" / "retinaface_mobilenet0.25_published.pth"
    reports: list[StepReport] = []
    train_detector(planned(index, tmp_path, TINY, Start(published, "all")), progress=reports.append)
    assert len(reports) == TINY.iterations


def test_weights_of_all_layers_and_of_the_trunk_together_are_refused() -> None:
    options = ["train-detector", "--weights", str(SHIPPED), "--trunk-weights", str(SHIPPED)]
    refused = CliRunner().invoke(cli, options)
    assert isinstance(refused.exception, UsageError)
    assert "leave out --trunk-weights" in str(refused.exception)


def test_a_finished_run_is_left_as_it_is(index: Index, tmp_path: Path) -> None:
    weights = train_detector(planned(index, tmp_path, TINY))
    before = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")}
    seen: list[StepReport] = []
    assert train_detector(planned(index, tmp_path, TINY), progress=seen.append) == weights
    assert seen == []
    assert {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")} == before


def test_the_weights_of_a_run_make_a_detector_and_events_are_written(index: Index, tmp_path: Path) -> None:
    weights = train_detector(planned(index, tmp_path, TINY))
    found = detectors.create(f"{NAME}@{weights}").candidates([np.zeros((64, 64, 3), np.uint8)])[0]
    assert found.shape == (168, 5)
    assert list((tmp_path / "events").iterdir())


def test_another_configuration_or_other_labels_in_the_same_folder_are_refused(
    index: Index, tmp_path: Path
) -> None:
    train_detector(planned(index, tmp_path, TINY))
    with pytest.raises(UserError, match=r"another training run \(learning_rate: 0.01 -> 0.02\)"):
        train_detector(planned(index, tmp_path, TINY.model_copy(update={"learning_rate": 0.02})))
    with pytest.raises(UserError, match="after the learning rate's decay has begun"):
        train_detector(planned(index, tmp_path, TINY.model_copy(update={"iterations": 9})))
    other = Index(index.header, index.all_rows[:4])
    with pytest.raises(UserError, match=r"images: .* -> .*labels: .* -> "):
        train_detector(planned(other, tmp_path, TINY))


def test_a_run_lengthened_before_its_decay_equals_a_run_that_was_that_long_from_the_start(
    index: Index, tmp_path: Path
) -> None:
    long = TINY.model_copy(update={"iterations": 8, "decay_share": 0.5})
    straight = train_detector(planned(index, tmp_path / "straight", long))
    short = long.model_copy(update={"iterations": 5})
    with pytest.raises(_StopError):
        train_detector(planned(index, tmp_path / "changed", short), progress=_stop_at(2))
    changed = train_detector(planned(index, tmp_path / "changed", long))
    one, other = load_state(straight), load_state(changed)
    assert all(torch.equal(one[key], other[key]) for key in one)


def test_a_damaged_checkpoint_is_a_sentence(index: Index, tmp_path: Path) -> None:
    (tmp_path / "checkpoint.safetensors").write_bytes(b"\x00" * 100)
    with pytest.raises(UserError, match="cannot be read as a detector's checkpoint"):
        train_detector(planned(index, tmp_path, TINY))


def test_a_folder_that_cannot_be_written_is_a_sentence(index: Index, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match=r"cannot write to .*file"):
        train_detector(planned(index, tmp_path / "file", TINY))


def test_a_split_without_faces_is_refused(index: Index, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nothing to train on"):
        train_detector(planned(Index(index.header, ()), tmp_path, TINY))
