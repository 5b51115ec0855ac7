"""Units found out: detections that are right are never suspected, and each wrong unit is, by its name."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from pipeline.formats.box_units import suspected_units

WRONG: dict[str, Callable[[np.ndarray, float], np.ndarray]] = {
    "normalised to 0..1": lambda rows, side: rows / [side, side, side, side, 1],
    "centres and sizes (cx cy w h)": lambda rows, _: np.column_stack(
        [rows[:, :2] + rows[:, 2:4] / 2, rows[:, 2:]]
    ),
    "corners (x1 y1 x2 y2)": lambda rows, _: np.column_stack(
        [rows[:, :2], rows[:, :2] + rows[:, 2:4], rows[:, 4]]
    ),
}
SIDE = 1000.0
Case = tuple[list[np.ndarray], list[np.ndarray]]


@st.composite
def cases(draw: st.DrawFn, least_found: float = 0.0) -> Case:
    """Faces of some sizes, and detections `x y w h score` of a detector that finds a share of them."""
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    found = draw(st.floats(least_found, 1))
    jitter = draw(st.floats(0, 0.15))
    largest = draw(st.sampled_from([12, 40, 200, 800]))
    precision = draw(st.floats(0.2, 1))
    detections, faces = [], []
    for _ in range(draw(st.integers(1, 8))):
        num = int(generator.integers(0, 12))
        sizes = generator.uniform(6, largest, (num, 1)) * generator.uniform(0.8, 1.25, (num, 2))
        corners = generator.uniform(0, np.maximum(SIDE - sizes, 1))
        faces.append(np.concatenate([corners, corners + sizes], axis=1))
        is_found = generator.random(num) < found
        shift = generator.uniform(-jitter, jitter, (num, 4)) * np.tile(sizes, 2)
        right = (np.concatenate([corners, sizes], axis=1) + shift)[is_found]
        num_wrong = round(len(right) * (1 / precision - 1))
        wrong = generator.uniform(5, largest, (num_wrong, 4))
        wrong[:, :2] += generator.uniform(0, 500, 2)
        scores = np.concatenate([generator.uniform(0.3, 1, len(right)), generator.uniform(0, 0.6, num_wrong)])
        boxes = np.concatenate([right, wrong]).reshape(-1, 4)
        detections.append(generator.permutation(np.column_stack([boxes, scores])))
    return detections, faces


@settings(max_examples=150, deadline=None)
@given(cases())
def test_boxes_in_pixels_are_never_suspected_however_few_faces_they_find(case: Case) -> None:
    assert suspected_units(*case) is None


@pytest.mark.parametrize("unit", WRONG)
@settings(max_examples=80, deadline=None)
@given(case=cases(least_found=0.5))
def test_each_wrong_unit_is_recognised_from_a_few_faces_on(unit: str, case: Case) -> None:
    detections, faces = case
    assume(sum(map(len, faces)) >= 20)
    wrong = [WRONG[unit](rows, SIDE) for rows in detections]
    assert suspected_units(wrong, faces) == unit


def test_corners_of_large_faces_are_recognised_though_they_score_an_ap(  # as x y w h they overlap by more than half
) -> None:
    faces = [np.array([[200.0, 200.0, 800.0, 800.0]])] * 5
    corners = [np.array([[200.0, 200.0, 800.0, 800.0, 0.9]])] * 5
    assert suspected_units(corners, faces) == "corners (x1 y1 x2 y2)"


def test_nothing_is_suspected_without_detections_faces_or_hits() -> None:
    face, far = np.array([[10.0, 10.0, 60.0, 60.0]]), np.array([[500.0, 500.0, 9.0, 9.0, 0.5]])
    nothing, no_face = np.zeros((0, 5)), np.zeros((0, 4))
    placeholder = np.zeros((1, 5))  # some write a row of zeros where nothing is found
    for detections, faces in (
        ([nothing] * 4, [face] * 4),
        ([far] * 4, [no_face] * 4),
        ([far] * 4, [face] * 4),
        ([placeholder] * 4, [face] * 4),
        ([], []),
    ):
        assert suspected_units(detections, faces) is None
