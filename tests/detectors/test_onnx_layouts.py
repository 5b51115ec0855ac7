"""Layouts of published exports: YOLO's rows and columns, objectness, fixed batches, numbered outputs, half precision.

Each file is made here in the layout of the export that it stands for: one box a cell at strides 8, 16 and 32, all
small and improbable but one face.
"""

import tomllib
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from onnx_files import CENTRE_MAP, READY, write_centre_map, write_constants, write_descriptor

import detectors
from detectors.base import DetectorEntry
from detectors.onnx_adapter.descriptor import shipped_descriptor

SIDE = 64
PICTURE = np.zeros((SIDE, SIDE, 3), np.uint8)
FACE = [30.0, 20.0, 54.0, 52.0]
"""x1 y1 x2 y2: centre (42, 36), 24 x 32 px."""
ENTRIES = "detectors.onnx_adapter.entries"


def _cells(boxes_of_a_cell: int = 1) -> np.ndarray:
    """Centre x, centre y, width, height, confidence of every cell's boxes; the one of cell (5, 4) is the face."""
    rows = []
    for stride in (8, 16, 32):
        y, x = np.divmod(np.arange((SIDE // stride) ** 2), SIDE // stride)
        cells = np.stack(
            [(x + 0.5) * stride, (y + 0.5) * stride, 0 * x + 5.0, 0 * x + 6.0, 0 * x + 0.01], axis=1
        )
        rows.append(np.repeat(cells, boxes_of_a_cell, axis=0))
    found = np.concatenate(rows)
    found[4 * 8 * boxes_of_a_cell + 5 * boxes_of_a_cell] = [42, 36, 24, 32, 0.9]
    return found


def _landmarks(number: int, values: int) -> np.ndarray:
    return np.full((number, values), 37.0)


def _yolov5() -> np.ndarray:
    cells = _cells(3)
    objectness, classes = np.full((len(cells), 1), 0.9), cells[:, 4:] / 0.9
    return np.concatenate([cells[:, :4], objectness, _landmarks(len(cells), 10), classes], axis=1)[None]


def _yolov7() -> np.ndarray:
    cells = _cells(3)
    objectness, classes = np.full((len(cells), 1), 0.9), cells[:, 4:] / 0.9
    return np.concatenate([cells[:, :4], objectness, classes, _landmarks(len(cells), 15)], axis=1)[None]


def _ultralytics(landmarks: int) -> np.ndarray:
    cells = _cells()
    return np.concatenate([cells, _landmarks(len(cells), landmarks)], axis=1).T[None]


def _maps(num_bins: int = 16, channels: int = 80) -> list[np.ndarray]:
    """Maps with a face of 24 x 32 px around the middle of cell (5, 4) of stride 8: (44, 36)."""
    maps = []
    for stride in (8, 16, 32):
        cells = SIDE // stride
        found = np.full((1, channels, cells, cells), -20.0)
        found[:, np.arange(4) * num_bins + 1] = 20.0  # every edge one cell away
        maps.append(found)
    face = maps[0][0, :, 4, 5]
    face[: 4 * num_bins] = -20.0
    for edge, (near, far) in enumerate([(1, 2), (2, 2), (1, 2), (2, 2)]):  # 12, 16, 12, 16 px
        face[[edge * num_bins + near, edge * num_bins + far]] = 20.0
    face[4 * num_bins] = 20.0
    return maps


def _entry(name: str) -> str:
    return f"{ENTRIES}:{name.upper().replace('-', '_')}"


def _best(spec: str, image: np.ndarray = PICTURE) -> list[float]:
    best: list[float] = detectors.create(spec).candidates([image])[0][0].tolist()
    return best


EXPORTS = {
    "yolov5-face": ("yolov5-face", {"output": _yolov5()}),
    "yolov5-face, output of another name": ("yolov5-face", {"output0": _yolov5()}),
    "yolov7-face": ("yolov7-face", {"output": _yolov7()}),
    "yolov7-face, with its undecoded maps": (
        "yolov7-face",
        {"output": _yolov7(), "812": np.zeros((1, 3, 8, 8, 21)), "824": np.zeros((1, 3, 4, 4, 21))},
    ),
    "yolov8-face, Ultralytics, landmarks": ("yolov8-face", {"output0": _ultralytics(15)}),
    "yolov8-face, Ultralytics": ("yolov8-face", {"output0": _ultralytics(0)}),
    "yolo11-face": ("yolo11-face", {"output0": _ultralytics(0)}),
}


@pytest.mark.parametrize("export", EXPORTS)
def test_an_export_of_this_layout_works_by_name(tmp_path: Path, export: str) -> None:
    name, outputs = EXPORTS[export]
    model = write_constants(tmp_path / "model.onnx", outputs, (1, 3, SIDE, SIDE))
    spec = f"{_entry(name)}@{model}"
    assert _best(spec) == pytest.approx([*FACE, 0.9], abs=1e-4)
    assert detectors.identify(spec)["detector"] == name == detectors.create(spec).name
    assert _best(spec, np.zeros((2 * SIDE, SIDE, 3), np.uint8)) == pytest.approx(
        [*np.array(FACE) * 2, 0.9], abs=1e-3
    )


@pytest.mark.parametrize("names", [("output0", "884", "892"), ("output0", "1076", "1084")])
def test_maps_of_distributions_are_found_by_name_or_place(tmp_path: Path, names: tuple[str, ...]) -> None:
    outputs = dict(zip(names, _maps(), strict=True))
    model = write_constants(tmp_path / "model.onnx", outputs, (1, 3, SIDE, SIDE))
    assert _best(f"{_entry('yolov8-face')}@{model}") == pytest.approx([32, 20, 56, 52, 1], abs=1e-4)


def test_outputs_of_scrfd_are_found_by_their_places_where_they_are_only_numbered(tmp_path: Path) -> None:
    outputs = {}
    scores, boxes = {}, {}
    for stride in (8, 16, 32):
        number = 2 * (SIDE // stride) ** 2
        scores[stride], boxes[stride] = np.full((number, 1), 0.01), np.ones((number, 4))
    scores[8][2 * (4 * 8 + 5)] = 0.9  # the first anchor of cell (5, 4), whose corner is (40, 32)
    boxes[8][2 * (4 * 8 + 5)] = [10 / 8, 12 / 8, 14 / 8, 20 / 8]
    for place, value in enumerate([*scores.values(), *boxes.values()]):
        outputs[str(446 + 3 * place)] = value
    for place in range(3):
        outputs[f"kps{place}"] = np.zeros((1, 10))
    model = write_constants(tmp_path / "det_10g.onnx", outputs, (1, 3, SIDE, SIDE))
    assert _best(f"scrfd@{model}") == pytest.approx([*FACE, 0.9], abs=1e-4)


def test_a_written_descriptor_reads_what_the_named_one_reads(tmp_path: Path) -> None:
    model = write_constants(tmp_path / "model.onnx", {"output": _yolov5()}, (1, 3, SIDE, SIDE))
    own = """
    [input]
    scale = [0.00392156862745098, 0.00392156862745098, 0.00392156862745098]
    pad = 114
    [decoding]
    scheme = "boxes"
    boxes = "output"
    form = "centre"
    scores = "output"
    score_column = 15
    objectness_column = 4
    unit = "pixels"
    """
    spec = f"onnx@{write_descriptor(tmp_path / 'own.toml', own, model, 'yolov5-face')}"
    named = f"{_entry('yolov5-face')}@{model}"
    assert np.array_equal(
        detectors.create(spec).candidates([PICTURE])[0], detectors.create(named).candidates([PICTURE])[0]
    )
    without_version = [
        {k: v for k, v in detectors.identify(one).items() if k != "version"} for one in (spec, named)
    ]
    assert without_version[0] == without_version[1]


def test_every_shipped_descriptor_is_behind_a_registered_name() -> None:
    root = Path(detectors.__file__).parent
    project = tomllib.loads((root.parent / "pyproject.toml").read_text())
    registered = project["project"]["entry-points"]["crface.detectors"]
    for file in (root / "descriptors").glob("*.toml"):
        name = shipped_descriptor(file.stem).name
        module, _, attribute = registered[name].partition(":")
        assert isinstance(getattr(import_module(module), attribute), DetectorEntry)


def test_left_top_width_and_height_are_a_form_of_ready_boxes(tmp_path: Path) -> None:
    ready = READY.replace('unit = "pixels"', 'unit = "pixels"\nform = "corner"')
    outputs = {"boxes": np.array([[10, 20, 5, 6], [3, 4, 2, 1]]), "scores": np.array([[0.9], [0.5]])}
    model = write_constants(tmp_path / "t.onnx", outputs)
    found = detectors.create(f"onnx@{write_descriptor(tmp_path / 't.toml', ready, model)}")
    rows = found.candidates([np.zeros((32, 32, 3), np.uint8)])[0]
    assert rows[:, :4].tolist() == [[10, 20, 15, 26], [3, 4, 5, 5]]


def test_confidences_are_multiplied_by_an_output_of_objectness(tmp_path: Path) -> None:
    ready = READY.replace('unit = "pixels"', 'unit = "pixels"\nobjectness = "there"')
    outputs = {
        "boxes": np.array([[10, 20, 15, 26], [3, 4, 5, 5]]),
        "scores": np.array([[0.5], [1.0]]),
        "there": np.array([[1.0], [0.25]]),
    }
    model = write_constants(tmp_path / "t.onnx", outputs)
    found = detectors.create(f"onnx@{write_descriptor(tmp_path / 't.toml', ready, model)}")
    assert found.candidates([np.zeros((32, 32, 3), np.uint8)])[0][:, 4].tolist() == [0.5, 0.25]


@pytest.mark.parametrize("shape", [(300, 1), (1, 300, 1), (1, 300), (300,)])
def test_confidences_need_no_axis_of_columns(tmp_path: Path, shape: tuple[int, ...]) -> None:
    scores = np.linspace(1, 0.1, 300)
    x = np.arange(300) % 30
    boxes = np.stack([x, x, x + 2, x + 2], axis=1)[None]
    model = write_constants(tmp_path / "t.onnx", {"boxes": boxes, "scores": scores.reshape(shape)})
    detector = detectors.create(f"onnx@{write_descriptor(tmp_path / 't.toml', READY, model)}")
    found = detector.candidates([np.zeros((32, 32, 3), np.uint8)])[0]
    np.testing.assert_allclose(found[:, 4], scores, rtol=1e-6)


@pytest.mark.parametrize("num_images", [1, 3, 4, 5, 9])
def test_a_file_made_for_a_batch_gets_it_filled_up(tmp_path: Path, num_images: int) -> None:
    fixed = write_centre_map(tmp_path / "fixed.onnx", input_shape=(4, 3, 64, 64))
    single = write_centre_map(tmp_path / "single.onnx", input_shape=(1, 3, 64, 64))
    of_batch, alone = (
        detectors.create(f"onnx@{write_descriptor(model.with_suffix('.toml'), CENTRE_MAP, model)}")
        for model in (fixed, single)
    )
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (40 + i, 60, 3), dtype=np.uint8) for i in range(num_images)]
    for image, found in zip(images, of_batch.candidates(images), strict=True):
        np.testing.assert_allclose(found, alone.candidates([image])[0], atol=1e-5)


def test_a_file_in_half_precision_takes_images_like_others(tmp_path: Path) -> None:
    model = write_constants(
        tmp_path / "half.onnx", {"output0": _ultralytics(0)}, (1, 3, SIDE, SIDE), dtype=np.float16
    )
    assert _best(f"{_entry('yolo11-face')}@{model}") == pytest.approx([*FACE, 0.9], abs=1e-3)


def test_keys_that_came_later_leave_the_identity_of_older_descriptors_alone(tmp_path: Path) -> None:
    assert shipped_descriptor("rfb-640").parts()["decoding"] == {
        "scheme": "boxes",
        "boxes": "boxes",
        "box_column": 0,
        "scores": "scores",
        "score_column": 1,
        "unit": "fraction",
    }
    other = READY.replace("score_column = 0", 'score_column = 0\nform = "centre"')
    model = write_constants(tmp_path / "t.onnx", {"boxes": np.zeros((1, 4)), "scores": np.zeros((1, 1))})
    assert detectors.identify(
        f"onnx@{write_descriptor(tmp_path / 'a.toml', READY, model)}"
    ) != detectors.identify(f"onnx@{write_descriptor(tmp_path / 'b.toml', other, model)}")
