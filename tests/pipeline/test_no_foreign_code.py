"""Nothing in a file that others wrote is ever run."""

import ast
import pickle
import re
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from places import ROOT

import detectors
from crface import ranker
from crface.weights import load_state
from pipeline.errors import UserError
from pipeline.ground_truth.official_files import read_faces

PACKAGES = ("crface", "detectors", "pipeline", "workflows")


class Trap:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.path,)


def _legacy(path: Path, content: object) -> None:
    torch.save(content, path, _use_new_zipfile_serialization=False)


def _zip(path: Path, content: object) -> None:
    torch.save(content, path)


def _bare(path: Path, content: object) -> None:
    path.write_bytes(pickle.dumps(content))


def _zipped_pickle(path: Path, content: object) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(content))
        archive.writestr("archive/version", "3\n")


def _npy(path: Path, content: object) -> None:
    with path.open("wb") as file:
        np.save(file, np.array([content, None], dtype=object), allow_pickle=True)


@pytest.mark.parametrize("write", [_legacy, _zip, _bare, _zipped_pickle, _npy])
@pytest.mark.parametrize("suffix", ["pth", "safetensors", "mat", "onnx"])
def test_a_program_in_place_of_data_does_not_run(tmp_path: Path, write, suffix: str) -> None:
    sprung = tmp_path / "sprung"
    path = tmp_path / f"trap.{suffix}"
    write(path, {"state_dict": Trap(sprung)})
    for read in (
        load_state,
        ranker.load,
        read_faces,
        lambda path: detectors.create(f"retinaface-mobilenet0.25@{path}"),
        lambda path: detectors.create(f"scrfd@{path}"),
    ):
        with pytest.raises((ValueError, UserError)):
            read(path)
        assert not sprung.exists()


def test_a_checkpoint_that_would_unpack_to_more_than_itself_is_refused(tmp_path: Path) -> None:
    torch.save({"weight": torch.zeros(1_000_000)}, tmp_path / "good.pth")
    with zipfile.ZipFile(tmp_path / "good.pth") as good, zipfile.ZipFile(tmp_path / "bomb.pth", "w") as bomb:
        for part in good.namelist():
            bomb.writestr(part, good.read(part), compress_type=zipfile.ZIP_DEFLATED)
    assert load_state(tmp_path / "good.pth")["weight"].shape == (1_000_000,)
    assert (tmp_path / "bomb.pth").stat().st_size < 10_000
    with pytest.raises(ValueError, match="its parts are compressed"):
        load_state(tmp_path / "bomb.pth")


def _calls() -> list[tuple[Path, ast.Call, str]]:
    return [
        (path, node, ast.unparse(node.func))
        for package in PACKAGES
        for path in sorted((ROOT / package).rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
    ]


def test_no_line_of_the_project_can_load_a_pickle_or_run_a_text() -> None:
    needed = {"torch.load": ("weights_only", True), "np.load": ("allow_pickle", False)}
    forbidden = {
        "eval",
        "exec",
        "pickle.load",
        "pickle.loads",
        "yaml.load",
        "os.system",
        "joblib.load",
        "torch.hub.load",
    }
    for path, call, name in _calls():
        assert name not in forbidden, f"{path} line {call.lineno}: {name}"
        words = {word.arg: getattr(word.value, "value", None) for word in call.keywords}
        assert words.get("shell") is not True, f"{path} line {call.lineno}: a shell"
        if name in needed:
            key, value = needed[name]
            assert words.get(key) is value, f"{path} line {call.lineno}: {name} without {key}={value}"


def test_the_trap_of_these_tests_would_spring(tmp_path: Path) -> None:
    pickle.loads(pickle.dumps(Trap(tmp_path / "sprung")))
    assert (tmp_path / "sprung").exists()


def test_the_report_escapes_all_that_comes_from_data() -> None:
    sources = {path.relative_to(ROOT): path.read_text() for path in (ROOT / "pipeline").rglob("*.py")}
    environments = [text for text in sources.values() if " Environment(" in text]
    assert environments
    assert all("autoescape=True" in text for text in environments)
    templates = list((ROOT / "pipeline").rglob("*.j2"))
    assert templates
    # style sheets and scripts of the package's own, which hold nothing of the data
    own = {"gallery.css", "gallery.script", "palette"}
    for template in templates:
        trusted = re.findall(r"(\S+)\s*\|\s*safe\b", template.read_text())
        assert all(word.endswith('"') or word in own for word in trusted), (
            f"{template.name} trusts more than its own words: {trusted}"
        )
