"""`crface detect --ranker` trusts a ranker less on images unlike those that it was trained on, if they are enough."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from fake_detector import expected

from crface import ranker
from crface.ranker.describing import describe
from crface.ranker.home import fitted_home
from workflows.cli.main import cli

RED = 6  # of the first pixel: the number of candidates that the detector of these tests finds


def noise(seed: int) -> np.ndarray:
    image = np.random.default_rng(seed).integers(0, 256, (40, 56, 3), dtype=np.uint8)
    image[0, 0] = (RED, 0, 0)
    return image


def black(number: int) -> np.ndarray:
    image = np.full((40, 56, 3), number, np.uint8)
    image[0, 0] = (RED, 0, 0)
    return image


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A ranker that changes confidences, at home on noise."""
    torch.manual_seed(0)
    model = ranker.create("small", 16, 64)
    for module in model.confidence:
        torch.nn.init.normal_(module.linear.bias, std=0.05)
    found = [describe(noise(seed), expected(RED)) for seed in range(12)]
    model.home = fitted_home(np.array([found]), ["one"] * 12)
    ranker.save(model, tmp_path / "ranker.safetensors")
    return tmp_path / "ranker.safetensors"


@pytest.fixture
def foreign(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / f"{number}.png" for number in range(8)]
    for number, path in enumerate(paths):
        assert cv2.imwrite(str(path), black(number)[..., ::-1])
    return paths


def detect(tmp_path: Path, *arguments: str | Path) -> Result:
    words = ["detect", "--detector", "fake_detector:ENTRY", "--out", tmp_path / "out", "--json", *arguments]
    ended = CliRunner().invoke(cli, list(map(str, words)))
    assert ended.exit_code == 0, ended.output
    return ended


def best(ended: Result) -> list[float]:
    return [answer["best_confidence"] for answer in json.loads(ended.stdout)]


def test_on_foreign_images_confidences_are_the_detectors_own_and_it_is_said(
    tmp_path: Path, file: Path, foreign: list[Path]
) -> None:
    plain = detect(tmp_path, *foreign)
    ended = detect(tmp_path, "--ranker", file, *foreign)
    assert best(ended) == best(plain)
    assert "unlike those" in ended.stderr
    assert "trusted at 0 %" in ended.stderr
    assert max(map(len, ended.stderr.splitlines())) <= 80
    trusting = detect(tmp_path, "--ranker", file, "--trust-everywhere", *foreign)
    assert best(trusting) != best(plain)
    assert trusting.stderr == ""


def test_images_like_those_trained_on_and_fewer_than_eight_are_refined(
    tmp_path: Path, file: Path, foreign: list[Path]
) -> None:
    few = detect(tmp_path, "--ranker", file, *foreign[:7])
    assert best(few) == best(detect(tmp_path, "--ranker", file, "--trust-everywhere", *foreign[:7]))
    assert few.stderr == ""
    for number, path in enumerate(foreign):
        assert cv2.imwrite(str(path), noise(100 + number)[..., ::-1])
    at_home = detect(tmp_path, "--ranker", file, *foreign)
    assert best(at_home) != best(detect(tmp_path, *foreign))
    assert at_home.stderr == ""


def test_the_detector_looks_at_an_image_once(
    tmp_path: Path, file: Path, foreign: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_DETECTOR_LOG", str(tmp_path / "log"))
    detect(tmp_path, "--ranker", file, *foreign)
    assert len((tmp_path / "log").read_text().splitlines()) == len(foreign)


def test_an_image_that_cannot_be_read_is_named_once_and_no_picture_to_judge_by(
    tmp_path: Path, file: Path, foreign: list[Path]
) -> None:
    foreign[0].write_bytes(b"no image")
    words = [
        "detect",
        "--detector",
        "fake_detector:ENTRY",
        "--out",
        tmp_path / "out",
        "--ranker",
        file,
        *foreign,
    ]
    ended = CliRunner().invoke(cli, list(map(str, words)))
    assert ended.exit_code == 1
    assert ended.stderr.count("0.png") == 1
    assert "unlike" not in ended.stderr  # seven are left
