"""Whose weights a file holds, and how published checkpoints become files of this project."""

import hashlib
import pickle
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from crface.backbones import hrnet, load_imagenet, mobilenet_v1, resnet, resnet50
from crface.backbones.recognition import recognise_trunk
from crface.weights import read_metadata, save_state
from detectors.conversion import import_checkpoint
from detectors.networks.by_name import NETWORKS
from detectors.networks.retinaface import RetinaFace, mobilenet025
from detectors.weights import load_network, recognise
from workflows.cli.main import main

NAME = "retinaface-mobilenet0.25"


def wide_retinaface() -> RetinaFace:
    return RetinaFace(mobilenet_v1(width=0.5), channels=64)


@pytest.fixture
def wide(monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of one more detector of this package."""
    monkeypatch.setitem(NETWORKS, "retinaface-wide", wide_retinaface)
    return "retinaface-wide"


def shapes_of(make: Callable[[], nn.Module], prefix: str = "") -> dict[str, Tensor]:
    with torch.device("meta"):
        return {prefix + key: value for key, value in make().state_dict().items()}


def command(*arguments: str | Path) -> int:
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    assert isinstance(ended.value.code, int)
    return ended.value.code


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (resnet50, "ResNet-50"),
        (lambda: resnet(blocks=(3, 4, 23, 3)), "ResNet-101"),
        (lambda: resnet(width=0.125), "ResNet-50 of width 0.125"),
        (lambda: hrnet(18), "HRNet-W18"),
        (lambda: mobilenet_v1(width=0.25), "MobileNet v1 0.25"),
    ],
)
def test_a_trunk_is_recognised_alone_and_inside_a_detector(make: Callable[[], nn.Module], name: str) -> None:
    for prefix in ("", "body.", "trunk."):
        found = recognise_trunk(shapes_of(make, prefix))
        assert found is not None
        assert (found.name, found.is_bare) == (name, prefix == "")


def test_a_state_without_a_known_trunk_is_not_recognised() -> None:
    assert recognise_trunk({"conv1.weight": torch.zeros(8, 3, 7, 7)}) is None
    assert recognise({"conv1.weight": torch.zeros(8, 3, 7, 7)}) is None


def test_every_network_of_this_package_is_recognised_by_its_shapes() -> None:
    for name, make in NETWORKS.items():
        assert recognise(shapes_of(make)) == name


@pytest.mark.parametrize("wrapper", [None, "state_dict", "model"])
def test_weights_of_another_detector_are_one_sentence_that_names_it(
    wide: str, wrapper: str | None, tmp_path: Path
) -> None:
    state = {f"module.{key}": value for key, value in wide_retinaface().state_dict().items()}
    path = tmp_path / "wide.pth"
    torch.save(state if wrapper is None else {"epoch": 1, wrapper: state}, path)
    with pytest.raises(ValueError, match=rf"holds weights of {wide}, not of {NAME}: use them as {wide}$"):
        load_network(mobilenet025(), path, NAME)


def test_weights_of_an_unknown_network_on_another_trunk_name_both_trunks(tmp_path: Path) -> None:
    path = tmp_path / "wide.pth"
    torch.save(wide_retinaface().state_dict(), path)
    with pytest.raises(
        ValueError,
        match=rf"a network on MobileNet v1 0\.5, not of {NAME}, which is on MobileNet v1 0\.25$",
    ):
        load_network(mobilenet025(), path, NAME)


def test_an_imagenet_classifier_is_told_from_a_detector(tmp_path: Path) -> None:
    path = tmp_path / "imagenet.pth"
    torch.save({**mobilenet_v1(width=0.25).state_dict(), "fc.bias": torch.zeros(1000)}, path)
    with pytest.raises(ValueError, match=r"holds weights of MobileNet v1 0\.25 alone, not of"):
        load_network(mobilenet025(), path, NAME)
    load_imagenet(mobilenet025().body, path)
    with pytest.raises(ValueError, match=r"on MobileNet v1 0\.25, not the trunk ResNet-50 of width 0\.125$"):
        load_imagenet(resnet(width=0.125), path)


def test_an_onnx_file_is_not_taken_for_a_damaged_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"scrfd\.onnx is an ONNX file, which brings its own network"):
        load_network(mobilenet025(), tmp_path / "scrfd.onnx", NAME)


def test_a_file_of_ours_names_its_detector_though_its_network_is_not_known_here(tmp_path: Path) -> None:
    path = tmp_path / "plugin.safetensors"
    path.write_bytes(save_state({"weight": torch.zeros(3)}, {"detector": "their-detector"}))
    with pytest.raises(ValueError, match=rf"of their-detector, not of {NAME}: use them as their-detector$"):
        load_network(mobilenet025(), path, NAME)


def test_the_same_weights_and_words_are_the_same_bytes_in_any_order() -> None:
    state = {f"layer{i}.weight": torch.full((i + 1,), float(i)) for i in range(20)}
    words = {f"word{i}": str(i) for i in range(10)}
    backwards = dict(reversed(state.items())), dict(reversed(words.items()))
    assert len({save_state(state, words), *(save_state(*backwards) for _ in range(10))}) == 1


def test_words_beside_the_tensors_are_read_from_our_files_and_others(tmp_path: Path) -> None:
    ours, others, neither = (tmp_path / f"{name}.safetensors" for name in ("ours", "others", "neither"))
    ours.write_bytes(save_state({"weight": torch.zeros(1)}, {"detector": NAME, "epoch": "3"}))
    save_file({"weight": torch.zeros(1)}, others, {"format": "pt", "licence": "MIT"})
    save_file({"weight": torch.zeros(1)}, neither, {"crface": "[1, 2]"})
    assert read_metadata(ours) == {"detector": NAME, "epoch": "3"}
    assert read_metadata(others) == {"format": "pt", "licence": "MIT"}
    with pytest.raises(ValueError, match=r"neither\.safetensors has metadata that are not names with texts"):
        read_metadata(neither)


def test_importing_twice_writes_the_same_bytes(tmp_path: Path) -> None:
    source = tmp_path / "published.pth"
    torch.save(mobilenet025().state_dict(), source)
    files = [tmp_path / f"{i}.safetensors" for i in range(4)]
    for file in files:
        import_checkpoint(source, NAME, file)
    assert len({hashlib.sha256(file.read_bytes()).hexdigest() for file in files}) == 1


@pytest.mark.parametrize("name", ["published.pth", "published.pt", "published.safetensors"])
def test_the_command_imports_and_verifies(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    source, written = tmp_path / name, tmp_path / "written.safetensors"
    state = dict(mobilenet025().state_dict())
    if source.suffix == ".safetensors":
        save_file(state, source)
    else:
        torch.save({f"module.{key}": value for key, value in state.items()}, source)
    sha256 = hashlib.sha256(source.read_bytes()).hexdigest()
    options = ("--detector", NAME, "--output", written, "--sha256", sha256.upper())
    assert command("weights", "import", source, *options) == 0
    assert f"use it as {NAME}@" in capsys.readouterr().out
    assert all(torch.equal(value, state[key]) for key, value in load_file(written).items())
    ours = hashlib.sha256(written.read_bytes()).hexdigest()
    assert command("weights", "verify", written, "--detector", NAME, "--sha256", ours) == 0
    assert capsys.readouterr().out == f"{written} fits {NAME}; SHA-256 {ours}\n"


class _Malicious:
    """Makes a file appear when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("name", ["bad.pth", "bad.pt", "bad.safetensors"])
def test_the_command_never_runs_what_is_in_a_file(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ran, path = tmp_path / "ran", tmp_path / name
    path.write_bytes(pickle.dumps({"state_dict": _Malicious(ran)}))
    out = tmp_path / "out.safetensors"
    assert command("weights", "import", path, "--detector", NAME, "--output", out) == 1
    assert command("weights", "verify", path, "--detector", NAME) == 1
    first, second = capsys.readouterr().err.splitlines()
    assert first == second
    assert name in first
    assert not ran.exists()
    assert not out.exists()
    pickle.loads(path.read_bytes())  # the file is what it is feared to be
    assert ran.exists()


def test_a_program_is_refused_without_the_advice_to_trust_it(tmp_path: Path) -> None:
    path = tmp_path / "program.pt"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch would rather have such files written in another way
        torch.jit.save(torch.jit.script(nn.Linear(1, 1)), path)
    with pytest.raises(ValueError, match=r"program\.pt is refused: it is no plain checkpoint") as error:
        load_network(mobilenet025(), path, NAME)
    assert "weights_only" not in str(error.value)


def test_a_file_with_another_hash_is_not_even_opened(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, out = tmp_path / "other.pth", tmp_path / "out.safetensors"
    path.write_bytes(b"no checkpoint at all")
    for arguments in (("import", path, "--output", out), ("verify", path)):
        assert command("weights", *arguments, "--detector", NAME, "--sha256", "ab" * 32) == 1
        assert f"expected {'ab' * 32}: it is another file or damaged" in capsys.readouterr().err
    assert not out.exists()


def test_an_import_does_not_overwrite_its_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "published.safetensors"
    save_file(dict(mobilenet025().state_dict()), path)
    before = path.read_bytes()
    assert command("weights", "import", path, "--detector", NAME) == 1  # into the current folder
    assert "would be written over itself" in capsys.readouterr().err
    assert path.read_bytes() == before


def test_the_published_mobilenet_imports_and_finds_the_same(shared: Path, tmp_path: Path) -> None:
    source = shared / "models" / "retinaface_mobilenet0.25_published.pth"
    written = tmp_path / "ours.safetensors"
    sha256 = "7c417d4a43c5e2100ef40c2fbd2177d2fd0e5090d8e87c0fa31806cfb895c12f"
    assert import_checkpoint(source, NAME, written, sha256=sha256) == sha256
    load_network(network := mobilenet025(), source, NAME)
    assert all(torch.equal(value, network.state_dict()[key]) for key, value in load_file(written).items())
    assert read_metadata(written)["source_sha256"] == sha256
