"""Outputs that a descriptor misreads: refused at the first image, with their probable form and the key to mend it."""

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from onnx_files import READY, write_constants, write_descriptor
from wider_folder import Picture, write_data_set

import detectors
from detectors.plausible import faults
from workflows.cli.main import cli

IMAGE = np.zeros((32, 32, 3), np.uint8)
CENTRES = np.array([[16, 16, 8, 10], [24, 20, 6, 6], [8, 9, 4, 5]])
"""Centre x, centre y, width, height."""


def _spec(tmp_path: Path, boxes: np.ndarray, ready: str = READY) -> str:
    scores = np.linspace(0.95, 0.5, boxes.shape[-2])[:, None]
    model = write_constants(tmp_path / "yolo.onnx", {"boxes": boxes, "scores": scores})
    return f"onnx@{write_descriptor(tmp_path / 'yolo.toml', ready, model)}"


def _refusal(spec: str) -> str:
    detector = detectors.create(spec)
    with pytest.raises(ValueError, match=r"yolo\.onnx on an input of 32 x 32 pixels: ") as error:
        detector.candidates([IMAGE])
    assert len(str(error.value).splitlines()) == 1
    return str(error.value)


def test_centres_and_sizes_read_as_corners_are_refused_with_the_key_that_mends_it(tmp_path: Path) -> None:
    said = _refusal(_spec(tmp_path, CENTRES))
    assert "3 of 3 boxes have no area (x2 <= x1 or y2 <= y1)" in said
    assert 'write form = "centre" in [decoding]' in said
    mended = READY.replace('unit = "pixels"', 'unit = "pixels"\nform = "centre"')
    rows = detectors.create(_spec(tmp_path, CENTRES, mended)).candidates([IMAGE])[0]
    assert rows[0, :4].tolist() == [12, 11, 20, 21]


def test_fractions_read_as_pixels_are_refused_with_the_key_that_mends_it(tmp_path: Path) -> None:
    said = _refusal(_spec(tmp_path, np.array([[0.1, 0.1, 0.5, 0.6], [0.4, 0.4, 0.9, 0.97]])))
    assert "all 2 boxes lie in the first pixels (largest coordinate 0.97)" in said
    assert 'write unit = "fraction" in [decoding]' in said


def test_fractions_of_centres_are_told_both(tmp_path: Path) -> None:
    said = _refusal(_spec(tmp_path, CENTRES / 32))
    assert 'form = "centre"' in said
    assert 'unit = "fraction"' in said


def test_pixels_read_as_fractions_are_refused_with_the_key_that_mends_it(tmp_path: Path) -> None:
    corners = np.array([[12, 11, 20, 21], [20, 17, 27, 23]])
    said = _refusal(_spec(tmp_path, corners, READY.replace("pixels", "fraction")))
    assert "2 of 2 boxes lie wholly outside of the image, far away" in said
    assert 'unit = "pixels"' in said


def test_columns_read_as_rows_are_refused_with_the_key_that_mends_it(tmp_path: Path) -> None:
    rows = np.zeros((1, 5, 300))
    ready = READY.replace(
        '"boxes"\nscores = "scores"\nscore_column = 0', '"output0"\nscores = "output0"\nscore_column = 4'
    )
    assert "output0" in ready
    for content, is_transposed, mended in ((rows, "false", "true"), (rows.swapaxes(1, 2), "true", "false")):
        model = write_constants(tmp_path / "yolo.onnx", {"output0": content})
        described = ready.replace('unit = "pixels"', f'unit = "pixels"\ntransposed = {is_transposed}')
        said = _refusal(f"onnx@{write_descriptor(tmp_path / 'yolo.toml', described, model)}")
        assert f"write transposed = {mended} in [decoding]" in said


def test_logarithms_read_as_distances_are_refused_with_the_other_form(tmp_path: Path) -> None:
    decoding = """
    [decoding]
    scheme = "per-stride"
    strides = [16]
    form = "edges"
    boxes = ["boxes"]
    scores = ["scores"]
    """
    said = _refusal(_spec(tmp_path, np.tile([0.1, 0.2, -1.5, -1.0], (4, 1)), decoding))
    assert 'write form = "centre" in [decoding]' in said


def test_boxes_are_looked_at_in_every_image_and_a_sound_one_passes() -> None:
    rng = np.random.default_rng(0)
    centres, halves = rng.uniform(0, 640, (2000, 2)), rng.uniform(2, 200, (2000, 2))
    boxes = np.concatenate([centres - halves, centres + halves], axis=1).astype(np.float32)
    confidences = rng.uniform(0, 1, 2000).astype(np.float32) ** 8
    assert faults(boxes, confidences, 640, 640) == {}
    boxes[confidences < 0.01, 2:] = (
        boxes[confidences < 0.01, :2] - 1
    )  # nearly half: no distance of theirs was trained
    boxes[confidences >= 0.3][:2] = 0
    confidences[confidences < 0.001] = 0
    assert faults(boxes, confidences, 640, 640) == {}


def test_rows_that_only_fill_up_an_answer_are_no_fault() -> None:
    boxes, confidences = np.zeros((300, 4), np.float32), np.zeros(300, np.float32)
    assert faults(boxes, confidences, 640, 640) == {}
    boxes[0], confidences[0] = [100, 100, 150, 170], 0.8
    assert faults(boxes, confidences, 640, 640) == {}


@pytest.mark.parametrize(
    "command",
    [
        "detect",
        "doctor",
        "cache",
        "evaluate-resolutions",
        pytest.param("evaluate-protocols", marks=pytest.mark.slow),  # which enlarges it to 8K first
    ],
)
def test_every_command_that_runs_a_detector_refuses_misread_boxes(
    tmp_path: Path, on_thread: None, command: str
) -> None:
    folder = tmp_path / "photos"
    for split in ("train", "val"):
        write_data_set(folder, [Picture("0--Event", f"{split}-1", [(4, 4, 10, 12)])], split)
    spec = _spec(tmp_path, CENTRES)
    to = ["--data", str(folder), "--out", str(tmp_path / "run")]
    given = [str(folder / "WIDER_val/images/0--Event/val-1.jpg"), "--out", str(tmp_path / "drawn")]
    ended = CliRunner().invoke(cli, [command, "--detector", spec, *(given if command == "detect" else to)])
    assert ended.exit_code != 0
    assert 'form = "centre"' in " ".join(f"{ended.output} {ended.exception}".split())
