"""What users may rely on of each way in which an ONNX detector's outputs become boxes: answers worked out by hand."""

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx_files import CENTRE_MAP, write_centre_map, write_constants, write_descriptor

import detectors
from detectors.onnx_adapter.bins import Bins
from detectors.onnx_adapter.canvas import InputSpec, network_input, place
from detectors.onnx_adapter.outputs import Canvases, sigmoid
from detectors.onnx_adapter.per_stride import PerStride

BLACK = np.zeros((32, 32, 3), np.uint8)


@pytest.fixture(scope="module")
def free_size(tmp_path_factory: pytest.TempPathFactory) -> detectors.Detector:
    folder = tmp_path_factory.mktemp("free")
    return detectors.create(
        f"onnx@{write_descriptor(folder / 't.toml', CENTRE_MAP, write_centre_map(folder / 't.onnx'))}"
    )


def _candidates(
    tmp_path: Path, decoding: str, outputs: dict[str, np.ndarray], image: np.ndarray = BLACK
) -> list:
    model = write_constants(tmp_path / "tiny.onnx", outputs)
    descriptor = write_descriptor(tmp_path / "tiny.toml", decoding, model)
    return detectors.create(f"onnx@{descriptor}").candidates([image])[0].tolist()


def test_a_heat_map_gives_the_box_around_the_centre_of_the_hottest_cell(tmp_path: Path) -> None:
    heat, size, offset = np.zeros((1, 1, 8, 8)), np.zeros((1, 2, 8, 8)), np.zeros((1, 2, 8, 8))
    heat[0, 0, 3, 5] = 0.9
    size[0, :, 3, 5] = math.log(2), math.log(4)  # height 2 cells = 8 px, width 4 cells = 16 px
    offset[0, :, 3, 5] = 0.25, -0.5  # the centre: y = (3 + 0.5 + 0.25) x 4 = 15, x = (5 + 0.5 - 0.5) x 4 = 20
    found = _candidates(tmp_path, CENTRE_MAP, {"heat": heat, "size": size, "offset": offset})
    assert found[0] == pytest.approx([12, 11, 28, 19, 0.9])
    assert len(found) == 64  # cells at confidence 0 are candidates too
    assert found[1] == [0, 0, 4, 4, 0]


def test_distances_to_edges_are_measured_in_strides_from_the_corner_of_the_cell(tmp_path: Path) -> None:
    boxes, scores = np.zeros((8, 4)), np.zeros((8, 1))
    boxes[5], scores[5] = [0.5, 1, 0.25, 2], 0.75  # rows 4 and 5: the anchors of cell (row 1, column 0)
    decoding = """
    [decoding]
    scheme = "per-stride"
    strides = [16]
    anchors_per_cell = 2
    form = "edges"
    boxes = ["boxes"]
    scores = ["scores"]
    """
    found = _candidates(tmp_path, decoding, {"boxes": boxes, "scores": scores})
    assert found[0] == [0 - 8, 16 - 16, 0 + 4, 16 + 32, 0.75]
    assert len(found) == 8


def test_centre_form_multiplies_class_and_objectness(tmp_path: Path) -> None:
    boxes, classes, objectness = np.zeros((1, 4, 4)), np.full((1, 4, 1), 0.5), np.zeros((1, 4, 1))
    boxes[0, 3] = [0.5, 0.25, math.log(0.5), math.log(0.25)]  # cell (1, 1): centre (24, 20), 8 x 4 px
    objectness[0, 3] = 0.5
    decoding = """
    [decoding]
    scheme = "per-stride"
    strides = [16]
    form = "centre"
    boxes = ["boxes"]
    scores = ["classes"]
    objectness = ["objectness"]
    """
    found = _candidates(tmp_path, decoding, {"boxes": boxes, "classes": classes, "objectness": objectness})
    assert found[0] == pytest.approx([20, 18, 28, 22, 0.25])


def test_strides_follow_each_other_and_equal_confidences_keep_their_order(tmp_path: Path) -> None:
    outputs = {
        "b16": np.ones((4, 4)),
        "s16": np.full((4, 1), 0.5),
        "b32": np.ones((1, 4)),
        "s32": np.full((1, 1), 0.5),
    }
    decoding = """
    [decoding]
    scheme = "per-stride"
    strides = [16, 32]
    form = "edges"
    point = 0.5
    boxes = ["b16", "b32"]
    scores = ["s16", "s32"]
    """
    found = _candidates(tmp_path, decoding, outputs)
    assert [row[:4] for row in found] == [
        [-8, -8, 24, 24],
        [8, -8, 40, 24],
        [-8, 8, 24, 40],
        [8, 8, 40, 40],
        [-16, -16, 48, 48],
    ]


def test_a_distribution_over_bins_gives_its_mean_distance(tmp_path: Path) -> None:
    found = np.zeros((1, 9, 2, 2))
    # two bins a side: 0 or 1 cell; left surely 1, top surely 0, right and bottom 1 with probability 3/4
    found[0, :8, 1, 0] = [0, 1000, 1000, 0, 0, math.log(3), 0, math.log(3)]
    found[0, 8] = -1000
    found[0, 8, 1, 0] = math.log(4)
    decoding = """
    [decoding]
    scheme = "bins"
    strides = [16]
    outputs = ["map"]
    num_bins = 2
    num_channels = 9
    """
    rows = _candidates(tmp_path, decoding, {"map": found})
    assert rows[0] == pytest.approx([8 - 16, 24, 8 + 12, 24 + 12, 4 / 5])  # the cell's middle is (8, 24)
    assert rows[1] == [0, 0, 16, 16, 0]  # evenly 0 or 1 cell: half a cell each way


def test_ready_boxes_are_taken_from_their_columns(tmp_path: Path) -> None:
    rows = np.array([[9, 0.25, 0.5, 0.75, 1, 0.1, 0.6], [9, 0, 0, 0.5, 0.5, 0.2, 0.8]])
    decoding = """
    [decoding]
    scheme = "boxes"
    boxes = "rows"
    box_column = 1
    scores = "rows"
    score_column = 6
    unit = "{}"
    """
    found = _candidates(tmp_path, decoding.format("fraction"), {"rows": rows})
    assert found == [pytest.approx([0, 0, 16, 16, 0.8]), pytest.approx([8, 16, 24, 32, 0.6])]
    rows[:, 1:5] *= 16
    found = _candidates(tmp_path, decoding.format("pixels"), {"rows": rows[None]})
    assert found[0] == pytest.approx([0, 0, 8, 8, 0.8])


@given(seed=st.integers(0, 2**16), form=st.sampled_from(["edges", "centre"]), anchors=st.integers(1, 3))
def test_rows_of_several_strides_are_decoded_as_a_plain_loop_does_it(
    seed: int, form: str, anchors: int
) -> None:
    rng = np.random.default_rng(seed)
    height, width, strides = 24, 40, (8, 16)
    decoding = PerStride(
        scheme="per-stride", strides=strides, anchors_per_cell=anchors, form=form, point=0.5,
        boxes=("b8", "b16"), scores=("s8", "s16"),
    )  # fmt: skip
    outputs, expected = {}, []
    for stride in strides:
        rows, columns = math.ceil(height / stride), math.ceil(width / stride)
        outputs[f"b{stride}"] = rng.normal(size=(2, rows * columns * anchors, 4)).astype(np.float32)
        outputs[f"s{stride}"] = rng.uniform(size=(2, rows * columns * anchors, 1)).astype(np.float32)
        for row in range(rows):
            for column in range(columns):
                for anchor in range(anchors):
                    place = (row * columns + column) * anchors + anchor
                    a, b, c, d = outputs[f"b{stride}"][1, place].tolist()
                    x, y = (column + 0.5) * stride, (row + 0.5) * stride
                    if form == "edges":
                        box = [x - a * stride, y - b * stride, x + c * stride, y + d * stride]
                    else:
                        x, y, w, h = (
                            x + a * stride,
                            y + b * stride,
                            math.exp(c) * stride,
                            math.exp(d) * stride,
                        )
                        box = [x - w / 2, y - h / 2, x + w / 2, y + h / 2]
                    expected.append([*box, outputs[f"s{stride}"][1, place, 0]])
    found = decoding.decode(outputs, Canvases(number=2, height=height, width=width))
    np.testing.assert_allclose(found.boxes_xyxy[1], np.array(expected)[:, :4], rtol=1e-5, atol=1e-4)
    assert found.confidences[1].tolist() == [row[4] for row in expected]


def test_logits_beyond_what_an_exponential_holds_are_probabilities() -> None:
    assert sigmoid(np.array([-1e4, 0, 1e4], np.float32)).tolist() == [0, 0.5, 1]


def test_bins_need_room_for_the_confidence() -> None:
    with pytest.raises(ValueError, match="4 x 16 bins and a confidence need more channels"):
        Bins(scheme="bins", strides=(8,), outputs=("map",), num_channels=64)


@given(st.integers(1, 400), st.integers(1, 400), st.integers(1, 400), st.integers(1, 400))
def test_what_fills_the_image_on_the_canvas_fills_it_in_its_own_pixels(
    h: int, w: int, ch: int, cw: int
) -> None:
    placement = place((h, w), InputSpec(), (ch, cw))
    height, width = placement.image_hw
    assert 1 <= height <= ch
    assert 1 <= width <= cw
    assert height == ch or width == cw
    whole = placement.to_original(np.array([[0, 0, width, height]], np.float32))
    np.testing.assert_allclose(whole, [[0, 0, w, h]], rtol=1e-6)


@given(st.integers(1, 500), st.integers(1, 500), st.sampled_from([1, 4, 32]))
def test_a_free_image_is_neither_moved_nor_resized(h: int, w: int, stride: int) -> None:
    spec = InputSpec(stride=stride)
    placement = place((h, w), spec, None)
    assert placement.image_hw == (h, w)
    for side, canvas in zip((h, w), placement.canvas_hw, strict=True):
        assert canvas % stride == 0
        assert side <= canvas < side + stride
    boxes = np.array([[0.1, -5, 7e3, 1 / 3]], np.float32)
    assert np.array_equal(placement.to_original(boxes), boxes)


def test_only_a_descriptor_that_says_so_reduces_a_large_image() -> None:
    assert place((3000, 8000), InputSpec(stride=8), None).image_hw == (3000, 8000)
    assert place((3000, 8000), InputSpec(stride=8, max_side=800), None).image_hw == (300, 800)
    assert place((30, 80), InputSpec(stride=8, max_side=800), None).image_hw == (30, 80)


def test_the_input_is_normalised_in_the_order_of_its_channels_with_padding_below_and_right() -> None:
    image = np.array([[[10, 20, 30]]], np.uint8)
    spec = InputSpec(channels="BGR", mean=(1.0, 2.0, 3.0), scale=(1.0, 0.5, 2.0), pad=5, stride=2)
    found = network_input(image, place((1, 1), spec, None), spec)
    pad = [4, 1.5, 4]
    assert found.transpose(1, 2, 0).tolist() == [[[29, 9, 14], pad], [pad, pad]]
    last = spec.model_copy(update={"layout": "NHWC"})
    assert network_input(image, place((1, 1), last, None), last).tolist() == [[[29, 9, 14], pad], [pad, pad]]


@given(st.integers(1, 90), st.integers(1, 90), st.data())
def test_padding_to_the_stride_is_undone_exactly(
    free_size: detectors.Detector, h: int, w: int, data: st.DataObject
) -> None:
    row, column = data.draw(st.integers(0, (h - 1) // 4)), data.draw(st.integers(0, (w - 1) // 4))
    image = np.zeros((h, w, 3), np.uint8)
    image[4 * row : 4 * row + 4, 4 * column : 4 * column + 4] = 255
    best = free_size.candidates([image])[0][0]
    # height 8 and width 16 px around the middle of the only bright cell
    expected = [4 * column + 2 - 8, 4 * row + 2 - 4, 4 * column + 2 + 8, 4 * row + 2 + 4]
    assert best[:4].tolist() == pytest.approx(expected, abs=1e-4)
    assert best[4] > 0


def test_fitting_into_a_fixed_size_is_undone_exactly(tmp_path: Path) -> None:
    model = write_centre_map(tmp_path / "tiny.onnx", 32, 32, input_shape=(1, 3, 64, 64))
    descriptor = write_descriptor(tmp_path / "tiny.toml", CENTRE_MAP, model)
    detector = detectors.create(f"onnx@{descriptor}")
    for height, width, factor in ((16, 8, 4), (64, 32, 1), (128, 256, 1 / 4)):
        image = np.zeros((height, width, 3), np.uint8)
        cell = max(1, round(4 / factor))  # one cell of the canvas in the image's pixels
        image[cell : 2 * cell, :cell] = 255
        best = detector.candidates([image])[0][0]
        centre, half = np.array([2, 6]) / factor, 16 / factor
        assert best[:4].tolist() == pytest.approx([*(centre - half), *(centre + half)])
