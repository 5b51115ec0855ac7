"""What users may rely on of ONNX detectors: their names, identity, and what their candidates keep."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from onnx_files import CENTRE_MAP, READY, write_centre_map, write_constants, write_descriptor

import detectors
from detectors.onnx_adapter.descriptor import shipped_descriptor
from detectors.onnx_adapter.session import OnnxModel, num_threads

NAMED = ("rfb-640", "retinaface-mobilenetv2", "scrfd", "yolov8-face", "yunet")


@pytest.fixture
def tiny(tmp_path: Path) -> str:
    return f"onnx@{write_descriptor(tmp_path / 'tiny.toml', CENTRE_MAP, write_centre_map(tmp_path / 'tiny.onnx'))}"


def _ready(tmp_path: Path, boxes: np.ndarray, scores: np.ndarray) -> str:
    model = write_constants(tmp_path / "ready.onnx", {"boxes": boxes, "scores": scores})
    return f"onnx@{write_descriptor(tmp_path / 'ready.toml', READY, model)}"


def _picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_an_onnx_detector_is_a_detector_filed_under_the_name_in_its_descriptor(tiny: str) -> None:
    detector = detectors.create(tiny)
    assert isinstance(detector, detectors.Detector)
    assert detector.name == "tiny" == detectors.identify(tiny)["detector"]


def test_every_described_model_has_a_name_and_a_descriptor_of_that_name() -> None:
    listed = detectors.available()
    for name in (*NAMED, "centerface"):
        assert name in listed
        assert shipped_descriptor(name).name == name


def test_listing_detectors_loads_neither_onnx_nor_onnxruntime() -> None:
    code = (
        "import sys, detectors; detectors.available(); "
        "sys.exit(any(name in sys.modules for name in ('onnx', 'onnxruntime', 'pydantic')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_5000_best_are_kept_down_to_confidence_0_with_ties_in_their_order(tmp_path: Path) -> None:
    x = np.arange(6000) % 20
    scores = np.zeros(6000)
    scores[10::20] = 0.01
    found = detectors.create(
        _ready(tmp_path, np.stack([x, x, x + 1, x + 1 + np.arange(6000)], 1), scores[:, None])
    )
    rows = found.candidates([np.zeros((32, 32, 3), np.uint8)])[0]
    assert rows.shape == (5000, 5)
    assert rows.dtype == np.float32
    assert rows[:300, 4].tolist() == [pytest.approx(0.01)] * 300
    assert (rows[300:, 4] == 0).all()
    heights = rows[:, 3] - rows[:, 1]
    assert (np.diff(heights[:300]) > 0).all()
    assert (np.diff(heights[300:]) > 0).all()


def test_boxes_reach_over_the_edge_but_those_beside_the_image_are_left_out(tmp_path: Path) -> None:
    boxes = np.array([[-9, -9, 1, 1], [17, 0, 20, 9], [15, 31, 90, 90], [0, -9, 9, -1], [0, 33, 9, 40]])
    detector = detectors.create(_ready(tmp_path, boxes, np.full((5, 1), 0.5)))
    found = detector.candidates([np.zeros((32, 16, 3), np.uint8)])[0]  # fitted in: half the canvas is padding
    assert found[:, :4].tolist() == [[-9, -9, 1, 1], [15, 31, 90, 90]]


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 400), (400, 1), (3, 5000), (31, 33)])
@pytest.mark.parametrize("input_shape", [(None, 3, None, None), (1, 3, 64, 64)])
def test_images_of_any_size_from_one_pixel_have_candidates(
    tmp_path: Path, height: int, width: int, input_shape: tuple[int | None, ...]
) -> None:
    model = write_centre_map(tmp_path / "t.onnx", input_shape=input_shape)
    detector = detectors.create(f"onnx@{write_descriptor(tmp_path / 't.toml', CENTRE_MAP, model)}")
    found = detector.candidates([_picture(height, width)])[0]
    assert len(found) > 0
    assert np.isfinite(found).all()
    assert (np.diff(found[:, 4]) <= 0).all()


def test_candidates_do_not_depend_on_what_else_is_in_the_batch(tiny: str) -> None:
    detector = detectors.create(tiny)
    images = [
        _picture(h, w, i) for i, (h, w) in enumerate([(40, 60), (60, 40), (40, 60), (39, 57), (40, 60)])
    ]
    together = detector.candidates(images)
    for image, found in zip(images, together, strict=True):
        np.testing.assert_allclose(found, detector.candidates([image])[0], atol=1e-5)
    assert detector.candidates([]) == []


def test_a_view_of_an_image_gives_what_its_copy_gives(tmp_path: Path, tiny: str) -> None:
    fixed = write_centre_map(tmp_path / "f.onnx", input_shape=(1, 3, 64, 64))
    for spec in (tiny, f"onnx@{write_descriptor(tmp_path / 'f.toml', CENTRE_MAP, fixed)}"):
        detector = detectors.create(spec)
        view = _picture(90, 120)[::-1, 10:70:2, ::-1]
        assert np.array_equal(detector.candidates([view])[0], detector.candidates([view.copy()])[0])


def test_a_size_that_the_file_declares_needlessly_can_be_ignored(tmp_path: Path) -> None:
    model = write_centre_map(tmp_path / "t.onnx", input_shape=(10, 3, 32, 32))
    free = CENTRE_MAP.replace("[input]", "[input]\nignores_declared_size = true")
    detector = detectors.create(f"onnx@{write_descriptor(tmp_path / 't.toml', free, model)}")
    assert len(detector.candidates([_picture(12, 20)])[0]) == 3 * 5


def test_identity_covers_the_descriptor_and_the_model_but_not_where_they_lie(
    tmp_path: Path, tiny: str
) -> None:
    identity = detectors.identify(tiny)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    same = write_centre_map(elsewhere / "renamed.onnx")
    moved = write_descriptor(elsewhere / "x.toml", "# a word\n" + CENTRE_MAP, Path(same.name))
    assert detectors.identify(f"onnx@{moved}") == identity
    padded = write_descriptor(elsewhere / "x.toml", CENTRE_MAP.replace("[input]", "[input]\npad = 1"), same)
    assert detectors.identify(f"onnx@{padded}") != identity
    write_centre_map(tmp_path / "tiny.onnx", height_px=9.0)
    changed = detectors.identify(tiny)
    assert {key for key in identity if identity[key] != changed[key]} == {"weights"}


def test_workers_share_the_cores_as_omp_num_threads_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert num_threads() == 3
    model = OnnxModel(write_centre_map(tmp_path / "t.onnx"), "cpu", ["heat"])
    assert model._session.get_session_options().intra_op_num_threads == 3
    for value in ("", "0", "many"):
        monkeypatch.setenv("OMP_NUM_THREADS", value)
        assert num_threads() >= 1
