"""Boxes smaller than those that a ranker was trained on keep the detector's confidence."""

from pathlib import Path

import numpy as np
import pytest
import torch

from crface import ranker
from crface.ranker import Gate
from crface.ranker.inputs import relative_rows, scaled_picture, to_tensor
from crface.ranker.interface import Ranker

SIDE_PX = 64
PICTURE = np.random.default_rng(0).integers(0, 255, (96, 128, 3), dtype=np.uint8)
"""Twice as large as the ranker sees it."""
SIDES = np.array([4.0, 15.9, 16.1, 40.0, 80.0])


def candidates() -> np.ndarray:
    corners = np.random.default_rng(1).uniform(0, 16, (len(SIDES), 2))
    boxes = np.column_stack([corners, corners + SIDES[:, None]])
    return np.column_stack([boxes, [0.9, 0.7, 0.6, 0.5, 0.4]]).astype(np.float32)


@pytest.fixture(params=["per-box", "second-opinion"])
def model(request: pytest.FixtureRequest) -> Ranker:
    torch.manual_seed(0)
    made = ranker.create(request.param, len(SIDES), SIDE_PX).eval()
    torch.nn.init.normal_(made.get_parameter("residual.weight"), std=1.0)
    made.gate = Gate(0.75, (1.2, 0.8, 0.1))
    return made


def test_only_boxes_of_the_sizes_trained_on_are_refined(model: Ranker) -> None:
    everything = model.refine(PICTURE, candidates())
    assert (everything != candidates()[:, 4]).all()
    model.smallest_side_px = 8.0
    refined = model.refine(PICTURE, candidates())
    is_small = SIDES / 2 < 8.0
    assert np.array_equal(refined[is_small], candidates()[is_small, 4])
    assert np.array_equal(refined[~is_small], everything[~is_small])


def test_without_a_smallest_size_all_boxes_are_refined_whatever_their_corners(model: Ranker) -> None:
    turned = candidates()[:, [2, 1, 0, 3, 4]]  # right before left
    assert (model.refine(PICTURE, turned) != turned[:, 4]).all()


def test_the_size_is_that_of_the_area(model: Ranker) -> None:
    flat, square = (
        [0, 0, 64, 4, 0.5],
        [0, 0, 20, 20, 0.5],
    )  # 16 and 20 pixels of the image, 8 and 10 of its picture
    model.smallest_side_px = 9.0
    refined = model.refine(PICTURE, np.array([square, flat], np.float32))
    assert refined[1] == np.float32(0.5) != refined[0]


def test_a_file_keeps_the_size(model: Ranker, tmp_path: Path) -> None:
    ranker.save(model, tmp_path / "all")
    model.smallest_side_px = 5.5
    ranker.save(model, tmp_path / "some")
    assert ranker.load(tmp_path / "all").smallest_side_px == 0
    assert ranker.load(tmp_path / "some").smallest_side_px == 5.5


def test_tensors_are_refined_as_arrays_are(model: Ranker) -> None:
    model.smallest_side_px = 8.0
    picture, size = scaled_picture(PICTURE, SIDE_PX, multiple_of=32)
    rows = relative_rows(candidates(), PICTURE.shape[1], PICTURE.shape[0], len(SIDES))
    tensors = (torch.from_numpy(array)[None] for array in (picture, rows, np.array(size, np.float32)))
    pixels, rows_, sizes = tensors
    with torch.no_grad():
        found = model.confidences(to_tensor(pixels), rows_, sizes)[0].numpy()
    np.testing.assert_allclose(found, model.refine(PICTURE, candidates()), atol=1e-6)
    assert found[0] == np.float32(0.9)


def test_only_rankers_that_look_at_boxes_leave_some_to_the_detector() -> None:
    looking = {name: ranker.create(name, 4, 64).looks_at_boxes for name in ranker.names()}
    assert {name for name, looks in looking.items() if looks} == {"per-box", "second-opinion"}
