"""Boxes keep to the pixels they belong to, however a picture is resized, mirrored, padded and cut."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crface.geometry import Placement

_SIDES = st.integers(1, 7680)


def box(*numbers: float) -> np.ndarray:
    return np.array([numbers], np.float32)


@st.composite
def placements(draw: st.DrawFn) -> tuple[Placement, int, int]:
    """Give what happened to a picture, and its first height and width."""
    first_height, first_width = height, width = draw(_SIDES), draw(_SIDES)
    placement = Placement()
    for step in draw(st.lists(st.sampled_from(["resized", "mirrored", "padded", "cut"]), max_size=4)):
        if step == "resized":
            new_height, new_width = draw(_SIDES), draw(_SIDES)
            placement = placement.resized(height, width, new_height, new_width)
            height, width = new_height, new_width
        elif step == "mirrored":
            placement = placement.mirrored(width)
        elif step == "padded":
            top, left = draw(st.integers(0, 200)), draw(st.integers(0, 200))
            placement = placement.padded(top, left)
            height, width = height + top, width + left
        else:
            top, left = draw(st.integers(0, height - 1)), draw(st.integers(0, width - 1))
            placement = placement.cut(top, left)
            height, width = height - top, width - left
    return placement, first_height, first_width


def test_a_box_grows_with_the_picture() -> None:
    placed = Placement().resized(100, 200, 300, 100).boxes(box(20, 10, 40, 30))
    assert placed.tolist() == [[10, 30, 20, 90]]


def test_a_mirrored_box_is_as_far_from_the_other_edge_and_stays_upright() -> None:
    assert Placement().mirrored(200).boxes(box(20, 10, 50, 30)).tolist() == [[150, 10, 180, 30]]


def test_padding_moves_a_box_and_cutting_moves_it_back() -> None:
    moved = Placement().padded(top=5, left=7)
    assert moved.boxes(box(0, 0, 10, 10)).tolist() == [[7, 5, 17, 15]]
    assert moved.cut(top=5, left=7) == Placement()


def test_steps_are_taken_in_the_order_in_which_they_are_named() -> None:
    # doubled: 40 to 80 of 400; mirrored: 320 to 360; then 10 columns are added on the left
    placement = Placement().resized(50, 200, 100, 400).mirrored(400).padded(top=0, left=10)
    assert placement.boxes(box(20, 0, 40, 50)).tolist() == [[330, 0, 370, 100]]


def test_no_boxes_stay_no_boxes() -> None:
    assert Placement().mirrored(9).boxes(np.zeros((0, 4), np.float32)).shape == (0, 4)


@pytest.mark.parametrize(("new_height", "new_width"), [(96, 160), (12, 20), (24, 10)])
def test_boxes_follow_the_pixels_that_opencv_resizes(new_height: int, new_width: int) -> None:
    picture = np.zeros((24, 40), np.float32)
    picture[8:16, 8:32] = 1
    resized = cv2.resize(picture, (new_width, new_height), interpolation=cv2.INTER_LINEAR)
    x1, y1, x2, y2 = Placement().resized(24, 40, new_height, new_width).boxes(box(8, 8, 32, 16))[0]
    # the weight of what is white, and its centre, are those of the box
    assert resized.sum() == pytest.approx((x2 - x1) * (y2 - y1), rel=0.02)
    rows, columns = np.mgrid[:new_height, :new_width] + 0.5
    assert (resized * columns).sum() / resized.sum() == pytest.approx((x1 + x2) / 2, abs=0.05)
    assert (resized * rows).sum() / resized.sum() == pytest.approx((y1 + y2) / 2, abs=0.05)


@given(placements(), st.lists(st.tuples(*[st.floats(0, 1, width=32)] * 4), max_size=5))
def test_there_and_back_is_exact_to_a_thousandth_of_a_pixel(
    case: tuple[Placement, int, int], corners: list[tuple[float, float, float, float]]
) -> None:
    placement, height, width = case
    points = np.array(corners, np.float32).reshape(-1, 4) * np.array([width, height] * 2, np.float32)
    there = placement.boxes(points)
    # what single precision cannot hold where the box was sent comes back enlarged: no map can mend that
    lost = np.spacing(np.abs(there).max(initial=1)) / min(abs(placement.x_scale), abs(placement.y_scale))
    back = placement.inverse().boxes(there)
    assert np.abs(back - points).max(initial=0) <= max(1e-3, 2 * lost)


@given(placements(), st.lists(st.tuples(*[st.floats(0, 1)] * 4), max_size=5))
def test_in_double_precision_nothing_is_lost(
    case: tuple[Placement, int, int], corners: list[tuple[float, float, float, float]]
) -> None:
    placement, height, width = case
    points = np.array(corners, np.float64).reshape(-1, 4) * np.array([width, height] * 2)
    back = placement.inverse().boxes(placement.boxes(points))
    assert np.abs(back - points).max(initial=0) <= 1e-3


@given(_SIDES, _SIDES, _SIDES, _SIDES, st.booleans(), st.tuples(*[st.floats(0, 1, width=32)] * 4))
def test_a_view_of_a_picture_up_to_8k_is_exact_to_a_thousandth_of_a_pixel_in_single_precision(
    height: int, width: int, new_height: int, new_width: int, is_mirrored: bool, corners: tuple[float, ...]
) -> None:
    placement = Placement().mirrored(width) if is_mirrored else Placement()
    placement = placement.resized(height, width, new_height, new_width)
    points = np.array([corners], np.float32) * np.array([width, height] * 2, np.float32)
    assert np.abs(placement.inverse().boxes(placement.boxes(points)) - points).max() <= 1e-3
