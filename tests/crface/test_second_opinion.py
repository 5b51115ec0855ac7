"""The ranker that asks a detector: what never changes in it, what it does not know, what it is trained with."""

from collections.abc import Callable
from math import log
from pathlib import Path

import numpy as np
import pytest
import torch
from ranker_world import World, small_config
from safetensors.torch import save_file

import detectors
from crface import losses, ranker
from crface.losses import Targets
from crface.losses.across_images import face_or_not_loss, faces_first_loss
from crface.ranker import PerBoxRanker
from crface.ranker.per_box.sights import Opinion
from crface.ranker.start import start_from
from crface.training.augmentation import STRONGEST_BLUR, draw_transform
from crface.training.examples import make_example
from crface.weights import load_state
from detectors.networks.by_name import NETWORKS
from pipeline.config.sections import TrainConfig
from pipeline.train.plan import plan_train
from pipeline.train.work import train

SHIPPED = Path(detectors.__file__).parent / "pretrained" / "retinaface-mobilenet0.25.safetensors"


def disturbed(image_side_px: int = 96) -> PerBoxRanker:
    torch.manual_seed(3)
    model = ranker.create("second-opinion", 40, image_side_px)
    assert isinstance(model, PerBoxRanker)
    start_from(model, SHIPPED)
    torch.nn.init.normal_(model.residual.weight, std=1.0)
    return model.eval()


def picture(height: int = 72, width: int = 96) -> np.ndarray:
    return np.random.default_rng(5).integers(0, 256, (height, width, 3), dtype=np.uint8)


def crowd(count: int = 12) -> np.ndarray:
    random = np.random.default_rng(7)
    corners = random.uniform(4, [60, 36], (count, 2))
    confidences = np.sort(random.uniform(0.02, 0.98, (count, 1)), axis=0)[::-1]
    return np.concatenate([corners, corners + random.uniform(8, 20, (count, 2)), confidences], axis=1).astype(
        np.float32
    )


def detector_state() -> dict[str, torch.Tensor]:
    return dict(load_state(SHIPPED))


def test_untrained_it_leaves_every_confidence_exactly_as_it_is() -> None:
    model = ranker.create("second-opinion", 16, 96)
    start_from(model, SHIPPED)
    assert np.array_equal(model.refine(picture(), crowd()), crowd()[:, 4])


def test_a_permutation_of_the_rows_permutes_the_confidences_bit_for_bit() -> None:
    model, shuffle = disturbed(), np.random.default_rng(0).permutation(12)
    refined = model.refine(picture(), crowd())
    assert np.array_equal(model.refine(picture(), crowd()[shuffle]), refined[shuffle])
    assert not np.array_equal(refined, crowd()[:, 4])


def test_its_opinion_is_the_class_logit_of_the_detector_that_it_was_given() -> None:
    model = disturbed()
    network = NETWORKS["retinaface-mobilenet0.25"]()
    network.load_state_dict(detector_state(), strict=False)
    network.eval()
    images = torch.randn(1, 3, 96, 128) * 60
    _, classes, _ = network(images)
    expected = (classes[0, :, 1] / classes[0, :, 0]).log()
    maps = model.sight.maps(images)
    found = torch.cat([level[0].permute(1, 2, 0).flatten() for level in maps]) * 4
    torch.testing.assert_close(found, expected, atol=1e-3, rtol=1e-4)


def test_training_changes_nothing_in_the_detector() -> None:
    model = disturbed()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    model.train()
    rows = torch.rand(2, 6, 5) * 0.4 + 0.1
    optimizer = torch.optim.Adam((p for p in model.parameters() if p.requires_grad), lr=1e-2)
    for _ in range(2):
        model(torch.randn(2, 3, 96, 96) * 60, rows, torch.full((2, 2), 90.0)).square().sum().backward()
        optimizer.step()
    changed = {key for key, value in model.state_dict().items() if not torch.equal(value, before[key])}
    assert changed
    assert not [key for key in changed if key.startswith(("sight.trunk", "sight.ClassHead"))]


def test_it_does_not_know_where_in_a_picture_a_box_lies(monkeypatch: pytest.MonkeyPatch) -> None:
    model = disturbed()
    # a detector without an opinion, so that nothing but the box itself is left to tell places apart
    monkeypatch.setattr(
        model.sight, "maps", lambda images: [torch.zeros(1, 2, 12 // s, 12 // s) for s in (1, 2, 4)]
    )
    box = np.array([[4, 8, 20, 28, 0.4]], np.float32)
    moved = box + np.array([[48, 16, 48, 16, 0]], np.float32)
    np.testing.assert_allclose(model.refine(picture(), box), model.refine(picture(), moved), atol=1e-5)
    larger = box * np.array([2, 2, 2, 2, 1], np.float32)
    assert (
        abs(model.refine(picture(), box) - model.refine(picture(), larger)).max() > 1e-4
    )  # pixels it does know


def test_only_a_whole_retinaface_is_asked(tmp_path: Path) -> None:
    model = ranker.create("second-opinion", 8, 64)
    assert start_from(model, SHIPPED) == "the whole of a detector but what it says of boxes and landmarks"
    assert isinstance(model, PerBoxRanker)
    assert isinstance(model.sight, Opinion)
    state = detector_state()
    assert torch.equal(
        model.sight.state_dict()["ClassHead.1.conv1x1.weight"], state["ClassHead.1.conv1x1.weight"]
    )
    save_file({"conv1.weight": torch.zeros(64, 3, 7, 7)}, tmp_path / "classifier.safetensors")
    with pytest.raises(ValueError, match="no RetinaFace: the second-opinion ranker asks a whole detector"):
        start_from(model, tmp_path / "classifier.safetensors")
    headless = {key: value for key, value in state.items() if not key.startswith("ClassHead.2")}
    save_file(headless, tmp_path / "headless.safetensors")
    with pytest.raises(ValueError, match=r"does not fit the trunk .* missing"):
        start_from(model, tmp_path / "headless.safetensors")


def test_a_configuration_without_a_detector_to_ask_is_refused() -> None:
    with pytest.raises(ValueError, match="asks a detector: name the file of a RetinaFace"):
        TrainConfig(ranker="second-opinion")


def test_it_is_trained_by_the_stage_and_comes_back(tmp_path: Path) -> None:
    world = World(tmp_path)
    config = small_config(
        ranker="second-opinion",
        loss="face-or-not",
        augmentation="wide",
        initial_weights=str(SHIPPED),
    )
    plan = plan_train(world.workspace, world.index(), (world.cache(),), config)
    model = ranker.load(train(plan))
    assert model.name == "second-opinion"
    assert torch.equal(
        model.state_dict()["sight.ClassHead.0.conv1x1.weight"], detector_state()["ClassHead.0.conv1x1.weight"]
    )


def targets_of(oracle: list[float]) -> Targets:
    row = torch.tensor([oracle])
    return Targets(
        predicted=torch.linspace(0.9, 0.1, len(oracle))[None],
        oracle=row,
        face=torch.zeros(1, len(oracle), dtype=torch.long),
        is_box=torch.ones(1, len(oracle), dtype=torch.bool),
    )


def test_face_or_not_asks_for_no_order_among_the_boxes_on_a_face() -> None:
    # two boxes on the face, IoU 0.5 and 0.9, and background of IoU 0.2 beside them, all at the same score
    same = torch.zeros(1, 3)
    assert float(face_or_not_loss(same, targets_of([0.5, 0.9, 0.2]), "logit")) == pytest.approx(log(2))
    ahead = torch.tensor([[5.0, 0.0, -9.0]])
    behind = torch.tensor([[0.0, 5.0, -9.0]])
    either = [float(face_or_not_loss(s, targets_of([0.5, 0.9, 0.2]), "logit")) for s in (ahead, behind)]
    assert max(either) < 1e-6
    assert float(faces_first_loss(ahead, targets_of([0.5, 0.9, 0.2]), "logit")) > 0.5


@pytest.mark.parametrize(("overlap", "is_face"), [(0.34, False), (0.36, True)])
def test_face_or_not_takes_boxes_from_an_iou_of_035_for_a_face(overlap: float, is_face: bool) -> None:
    loss = losses.create("face-or-not", 10, "logit")(torch.zeros(1, 2), targets_of([overlap, 0.0]))
    assert (float(loss) > 0) == is_face


def test_wide_transforms_make_small_and_blurred_pictures_too() -> None:
    drawn = [draw_transform(np.random.default_rng(i), 200, 100, 400, is_wide=True) for i in range(200)]
    sides = np.array([max(one.size) for one in drawn])
    assert sides.min() < 170
    assert 390 < sides.max() <= 400
    blurred = [one.blur for one in drawn if one.blur != (1.0, 1.0)]
    assert 70 < len(blurred) < 130
    assert all(STRONGEST_BLUR <= share <= 1 for blur in blurred for share in blur)
    chequered = np.indices((100, 200)).sum(axis=0)[..., None] % 2 * np.full(3, 255, np.uint8)
    contrast = _mean_of(drawn, lambda one: one.picture(chequered.astype(np.uint8)).std())
    assert contrast[True] < contrast[False]


def _mean_of(drawn: list, value: Callable[..., float]) -> dict[bool, float]:
    groups: dict[bool, list[float]] = {True: [], False: []}
    for one in drawn:
        groups[one.blur != (1.0, 1.0)].append(value(one))
    return {key: float(np.mean(values)) for key, values in groups.items()}


def test_a_wide_example_has_the_best_candidates_and_some_of_the_tail() -> None:
    corners = np.tile([[20.0, 20.0]], (60, 1))
    confidence = np.r_[np.linspace(0.9, 0.5, 20), np.linspace(0.3, 0.02, 30), np.full(10, 0.001)][:, None]
    candidates = np.concatenate([corners, corners + 9, confidence], axis=1).astype(np.float32)
    image = np.zeros((48, 64, 3), np.uint8)
    for seed in range(40):
        made = make_example(image, candidates, candidates[:1, :4], (seed, 0, 0), 12, 64, is_wide=True)
        rows = made.rows[:, 4]
        if not rows.any():
            continue  # the crop left all of them out
        assert np.allclose(rows[:8], candidates[:8, 4])
        assert (np.diff(rows) <= 0).all()
        assert rows.min() > 0.01
        assert len(np.unique(rows)) == 12
        if rows[-1] < 0.25:  # far behind the first twelve
            return
    pytest.fail("no row was drawn from the tail")
