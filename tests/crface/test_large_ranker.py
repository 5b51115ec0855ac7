"""The paper's large ranker, and the weights that any ranker's training may begin from."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from crface import ranker
from crface.backbones import mobilenet_v1, resnet50
from crface.losses import rank_loss
from crface.ranker import ConfidenceRanker, PerBoxRanker, Ranker
from crface.ranker.inputs import relative_rows
from crface.ranker.start import start_from
from crface.weights import load_state


def tiny(name: str) -> Ranker:
    torch.manual_seed(0)
    return ranker.create(name, 8, 64)


def candidates(count: int = 8) -> np.ndarray:
    random = np.random.default_rng(7)
    corners = random.uniform(0, 40, (count, 2))
    confidences = np.sort(random.uniform(0.2, 0.8, (count, 1)), axis=0)[::-1]
    return np.concatenate([corners, corners + 9, confidences], axis=1).astype(np.float32)


def test_the_large_ranker_has_the_size_that_its_layers_add_up_to() -> None:
    with torch.device("meta"):
        model = ranker.create("large")
    bpn = (15 * 64 + 64) + 8 * (15 * 64 * 64 + 64)
    fpn = sum((depth + 64) * 256 + 256 + 9 * 256 * 256 + 256 for depth in (512, 1024, 2048))
    confidence = 3 * (9 * 256 * 256 + 256 + 256 * 5000 + 5000)
    num_parameters = sum(p.numel() for p in model.parameters())
    assert num_parameters == 23_508_032 + bpn + fpn + confidence == 32_363_992
    assert 4 * num_parameters / 1e6 == pytest.approx(129.5, abs=0.05)


def test_the_large_ranker_starts_as_the_detector_and_takes_its_pictures_and_boxes() -> None:
    rows = candidates()
    image = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    assert np.array_equal(tiny("large").refine(image, rows), rows[:, 4])


def test_padding_and_the_size_of_n_change_no_box_of_the_large_ranker() -> None:
    model = tiny("large")
    assert isinstance(model, ConfidenceRanker)
    for module in model.confidence:
        torch.nn.init.normal_(module.linear.weight, std=0.01)
    image = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    alone = model.refine(image, candidates(5))
    padded = model.refine(image, np.concatenate([candidates(5), np.zeros((3, 5), np.float32)]))
    assert np.array_equal(padded[:5], alone)
    assert not padded[5:].any()
    assert not np.array_equal(alone, candidates(5)[:, 4])


def test_a_batch_that_is_fitted_comes_into_oracle_order() -> None:
    model = tiny("large").train()
    rows = torch.from_numpy(relative_rows(candidates(6), 64, 64, 8))[None].repeat(2, 1, 1)
    images = torch.randn(2, 3, 64, 64) * 60
    sizes = torch.full((2, 2), 64.0)
    oracle = torch.tensor([[0.1, 0.9, 0.3, 0.8, 0.0, 0.5, 0, 0], [0.9, 0.2, 0.8, 0.1, 0.7, 0.0, 0, 0]])
    is_box = torch.arange(8).expand(2, 8) < 6
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for _ in range(60):
        optimizer.zero_grad()
        refined = model(images, rows, sizes)
        rank_loss(refined, oracle, is_box).backward()
        optimizer.step()
        if torch.equal(refined[:, :6].argsort(dim=1), oracle[:, :6].argsort(dim=1)):
            return
    pytest.fail(f"after 60 steps: {refined}")


@pytest.mark.parametrize(("name", "trunk"), [("large", resnet50), ("small", lambda: mobilenet_v1(0.25))])
def test_a_training_can_begin_from_a_classifier_or_from_a_detector_with_the_same_trunk(
    name: str, trunk: type[torch.nn.Module], tmp_path: Path
) -> None:
    state = trunk().state_dict()
    save_file(state, tmp_path / "classifier.safetensors")
    heads = {"ClassHead.0.conv1x1.bias": torch.zeros(4)}
    save_file(
        {f"body.{key}": value for key, value in state.items()} | heads, tmp_path / "detector.safetensors"
    )
    for file, words in (
        ("classifier", "the backbone of a classifier"),
        ("detector", "the backbone of a detector"),
    ):
        model = tiny(name)
        assert isinstance(model, ConfidenceRanker)
        assert start_from(model, tmp_path / f"{file}.safetensors") == words
        found = model.backbone.state_dict()
        assert all(torch.equal(found[key], value) for key, value in state.items())


def test_the_per_box_ranker_can_begin_from_published_retinaface_weights(shared: Path) -> None:
    path = shared / "models" / "retinaface_mobilenet0.25_published.pth"
    model = tiny("per-box")
    assert isinstance(model, PerBoxRanker)
    assert start_from(model, path) == "the backbone, pyramid and context modules of a detector"
    state = load_state(path)
    found = model.sight.trunk.state_dict()
    taken = [key for key in found if key in state]
    assert len(taken) >= len(found) - sum(key.endswith("num_batches_tracked") for key in found)
    assert all(torch.equal(found[key], state[key]) for key in taken)


def test_weights_of_another_trunk_are_refused_in_words(tmp_path: Path) -> None:
    save_file({"body.conv1.weight": torch.zeros(64, 3, 7, 7)}, tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match=r"does not fit the trunk of the per-box ranker: .* missing"):
        start_from(tiny("per-box"), tmp_path / "other.safetensors")
