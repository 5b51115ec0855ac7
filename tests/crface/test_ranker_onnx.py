"""A ranker as an ONNX file says what PyTorch says."""

from collections.abc import Iterator
from pathlib import Path

import jaxtyping
import numpy as np
import pytest
import torch
from click.testing import CliRunner

from crface import ranker
from crface.ranker import ConfidenceRanker, PerBoxRanker
from crface.ranker.inputs import relative_rows, scaled_picture, square_picture
from crface.ranker.onnx_export import to_onnx
from pipeline.errors import UserError
from workflows.cli.main import cli
from workflows.commands.export_ranker import write_onnx

NUM_CANDIDATES, SIDE_PX = 24, 64


@pytest.fixture(autouse=True)
def no_shape_checks() -> Iterator[None]:
    """While an exporter traces, sizes are tensors where the signatures rightly say int."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


def disturbed(name: str) -> ranker.Ranker:
    torch.manual_seed(0)
    model = ranker.create(name, NUM_CANDIDATES, SIDE_PX)
    if isinstance(model, PerBoxRanker):
        torch.nn.init.normal_(model.residual.weight, std=1.0)
        model.share.fill_(0.5)
        model.smallest_side_px = 6.0
    if isinstance(model, ConfidenceRanker):
        for module in model.confidence:
            torch.nn.init.normal_(module.linear.weight, std=0.01)
            torch.nn.init.normal_(module.linear.bias, std=0.1)
        model.lowest.fill_(-0.5)
        model.highest.fill_(1.5)
    return model.eval()


@pytest.mark.parametrize("name", ranker.names())
def test_the_onnx_file_gives_the_confidences_of_refine_for_images_of_any_size(name: str) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    model = disturbed(name)
    session = onnxruntime.InferenceSession(to_onnx(model), providers=["CPUExecutionProvider"])
    metadata = session.get_modelmeta().custom_metadata_map
    assert metadata == {"ranker": name, "num_candidates": "24", "image_side_px": "64"}
    random = np.random.default_rng(0)
    for width, height, count in ((64, 48, 24), (30, 64, 10), (200, 90, 1)):
        image = random.integers(0, 256, (height, width, 3), dtype=np.uint8)
        corners = random.uniform(0, [width * 0.7, height * 0.7], (count, 2))
        confidences = np.sort(random.uniform(0.05, 0.95, (count, 1)), axis=0)[::-1]
        sides = height * np.linspace(0.3, 0.1, count)[:, None]
        candidates = np.concatenate([corners, corners + sides, confidences], axis=1).astype(np.float32)
        if isinstance(model, PerBoxRanker):
            picture, size = scaled_picture(image, SIDE_PX, multiple_of=32)
        else:
            picture, size = square_picture(image, SIDE_PX)
        inputs = {
            "picture": picture[None],
            "rows": relative_rows(candidates, width, height, NUM_CANDIDATES)[None],
            "size": np.array([size], np.float32),
        }
        if not isinstance(model, PerBoxRanker):
            del inputs["size"]  # which the paper's networks do not look at
        (found,) = session.run(["confidences"], inputs)
        np.testing.assert_allclose(found[0, :count], model.refine(image, candidates), atol=1e-4)
        assert not found[0, count:].any()
        assert not np.allclose(found[0, :count], candidates[:, 4], atol=1e-3)


def test_the_command_writes_a_file_that_agrees_with_pytorch(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    ranker.save(disturbed("per-box"), tmp_path / "ranker.safetensors")
    arguments = [str(tmp_path / "ranker.safetensors"), str(tmp_path / "ranker.onnx")]
    ended = CliRunner().invoke(cli, ["export-ranker", *arguments])
    assert ended.exit_code == 0, ended.output
    assert ended.output.startswith(f"export-ranker: {arguments[1]}, differs from PyTorch by at most ")
    assert (tmp_path / "ranker.onnx").stat().st_size > 3_900_000


def test_a_file_that_differs_from_pytorch_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("onnx")
    monkeypatch.setattr("crface.ranker.onnx_export.largest_difference", lambda *_: 0.01)
    ranker.save(disturbed("small"), tmp_path / "ranker.safetensors")
    with pytest.raises(UserError, match=r"1\.0e-02 from PyTorch's, more than 1e-04: it is not written"):
        write_onnx(tmp_path / "ranker.safetensors", tmp_path / "ranker.onnx")
    assert not (tmp_path / "ranker.onnx").exists()


def test_without_the_package_that_writes_onnx_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(ValueError, match="needs the package onnx: pip install onnx"):
        to_onnx(disturbed("small"))
