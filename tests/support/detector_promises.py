"""What users may rely on of every detector adapter, whatever network it runs.

`tests/test_detectors.py` applies these promises to each detector of its list; a class that inherits them and has
a fixture `detector` (and `sees_faces`: whether its weights find the face of a photograph) is tested likewise.
"""

import random
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from skimage import data

from detectors import MAX_CANDIDATES, Detector

BOX_TOLERANCE_PX = 1e-4
CONFIDENCE_TOLERANCE = 1e-5

_ASTRONAUT_FACE = (174, 58, 273, 182)
_PORTRAIT = (slice(0, 320), slice(96, 352))
"""The astronaut's head and shoulders: the face is at (78, 58, 177, 182) of it."""

# an adapter answers in milliseconds to a second, by its network: time must decide nothing
_FEW = settings(
    max_examples=12, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.differing_executors]
)


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def assert_same_candidates(found: np.ndarray, expected: np.ndarray) -> None:
    """Check that every row has its partner; rows whose confidences differ by a rounding may change places."""
    assert found.shape == expected.shape
    if np.array_equal(found, expected):
        return
    unit = np.array([BOX_TOLERANCE_PX] * 4 + [CONFIDENCE_TOLERANCE])
    for rows, others in ((found, expected), (expected, found)):
        for row in rows:
            near = others[np.abs(others[:, 4] - row[4]) <= CONFIDENCE_TOLERANCE]
            assert (np.abs(near - row) <= unit).all(axis=1).any(), f"{row} has no partner"


class DetectorPromises:
    def test_it_is_a_detector_with_a_name(self, detector: Detector) -> None:
        assert isinstance(detector, Detector)
        assert detector.name

    def test_no_images_give_no_candidates(self, detector: Detector) -> None:
        assert detector.candidates([]) == []

    @given(height=st.integers(1, 80), width=st.integers(1, 80))
    @example(height=1, width=1)
    @example(height=1, width=300)
    @example(height=300, width=1)
    @_FEW
    def test_any_height_and_width_give_finite_boxes_best_first(
        self, detector: Detector, height: int, width: int
    ) -> None:
        (found,) = detector.candidates([noise(height, width)])
        assert found.dtype == np.float32
        assert found.ndim == 2
        assert found.shape[1] == 5
        assert len(found) <= MAX_CANDIDATES
        assert np.isfinite(found).all()
        assert (found[:, :2] <= found[:, 2:4]).all()
        assert ((found[:, 4] >= 0) & (found[:, 4] <= 1)).all()
        assert (np.diff(found[:, 4]) <= 0).all()

    def test_a_large_image_gives_no_more_than_5000_best_first(self, detector: Detector) -> None:
        (found,) = detector.candidates([noise(320, 512)])
        assert len(found) <= MAX_CANDIDATES
        assert (np.diff(found[:, 4]) <= 0).all()

    @given(
        sizes=st.lists(st.sampled_from([(40, 56), (56, 40), (33, 70)]), min_size=2, max_size=5),
        order=st.randoms(use_true_random=False),
    )
    @_FEW
    def test_neither_batch_nor_order_changes_an_images_candidates(
        self, detector: Detector, sizes: list[tuple[int, int]], order: random.Random
    ) -> None:
        images = [noise(*size, seed=i) for i, size in enumerate(sizes)]
        alone = [detector.candidates([image])[0] for image in images]
        shuffled = list(range(len(images)))
        order.shuffle(shuffled)
        for i, found in zip(shuffled, detector.candidates([images[i] for i in shuffled]), strict=True):
            assert_same_candidates(found, alone[i])

    def test_ties_come_in_the_same_order_every_time(self, detector: Detector) -> None:
        # far from its borders every cell of an even picture is like its neighbours: thousands of equal confidences
        even = np.full((512, 512, 3), 127, np.uint8)
        (first,) = detector.candidates([even])
        (second,) = detector.candidates([even])
        assert first.tobytes() == second.tobytes()

    def test_pictures_alike_in_one_batch_have_equal_candidates(self, detector: Detector) -> None:
        first, second, third = detector.candidates([noise(40, 48)] * 3)
        assert_same_candidates(second, first)
        assert_same_candidates(third, first)

    @pytest.mark.parametrize(
        "view",
        [
            lambda image: image[:, ::-1],
            lambda image: image[::2, 5:-3],
            lambda image: image.transpose(1, 0, 2),
            lambda image: image[..., ::-1],
            np.asfortranarray,
        ],
        ids=["mirrored", "strided", "transposed", "channels reversed", "Fortran order"],
    )
    def test_an_array_that_is_not_contiguous_is_as_good_as_its_copy(
        self, detector: Detector, view: Callable[[np.ndarray], np.ndarray]
    ) -> None:
        image = view(noise(60, 44))
        assert not image.flags.c_contiguous
        assert_same_candidates(
            detector.candidates([image])[0], detector.candidates([np.ascontiguousarray(image)])[0]
        )

    def test_a_picture_is_only_read(self, detector: Detector) -> None:
        image = noise(40, 40)
        before = image.copy()
        image.flags.writeable = False
        detector.candidates([image])
        np.testing.assert_array_equal(image, before)

    def test_candidates_are_the_callers_own(self, detector: Detector) -> None:
        image = noise(40, 40)
        (first,) = detector.candidates([image])
        kept = first.copy()
        first[:] = -1
        np.testing.assert_array_equal(detector.candidates([image])[0], kept)

    @pytest.mark.parametrize(
        "image",
        [
            np.zeros((8, 8, 3), np.float32),
            np.zeros((8, 8, 3), np.uint16),
            np.zeros((8, 8), np.uint8),
            np.zeros((8, 8, 1), np.uint8),
            np.zeros((8, 8, 4), np.uint8),
            np.zeros((3, 8, 8), np.uint8),
            np.zeros((0, 8, 3), np.uint8),
            np.zeros((8, 0, 3), np.uint8),
        ],
        ids=lambda image: f"{image.dtype} {list(image.shape)}",
    )
    def test_what_is_no_picture_is_refused_with_its_place_in_the_batch(
        self, detector: Detector, image: np.ndarray
    ) -> None:
        with pytest.raises(ValueError, match="image 1 of the batch") as caught:
            _unchecked(detector)([noise(8, 8), image])
        assert str(image.dtype) in str(caught.value)
        assert str(list(image.shape)) in str(caught.value)

    @pytest.mark.parametrize(
        ("height", "width", "top", "left"),
        [(320, 256, 0, 0), (400, 600, 32, 40), (600, 400, 230, 96), (333, 777, 5, 500)],
    )
    def test_boxes_are_in_pixels_of_the_picture_wherever_the_face_is(
        self, detector: Detector, sees_faces: bool, height: int, width: int, top: int, left: int
    ) -> None:
        if not sees_faces:
            pytest.skip("its weights are random: it finds no face")
        best = detector.candidates([_portrait_at(height, width, top, left)])[0][0]
        x1, y1, x2, y2 = _ASTRONAUT_FACE
        expected = np.array([x1 + left, y1 + top, x2 + left, y2 + top]) - [96, 0, 96, 0]
        assert _iou(best[:4], expected) > 0.5

    @pytest.mark.parametrize(("down", "right"), [(0, 128), (64, 0), (37, 101)])
    def test_a_picture_that_is_moved_moves_its_boxes(
        self, detector: Detector, sees_faces: bool, down: int, right: int
    ) -> None:
        if not sees_faces:
            pytest.skip("its weights are random: it finds no face")
        (here,) = detector.candidates([_portrait_at(420, 520, 32, 64)])
        (there,) = detector.candidates([_portrait_at(420, 520, 32 + down, 64 + right)])
        assert _iou(here[0, :4] + [right, down, right, down], there[0, :4]) > 0.8


def _unchecked(detector: Detector) -> Callable[[list[np.ndarray]], object]:
    """Give `candidates` without the shape checks of tests: the sentence is for users, who run without them."""
    function = type(detector).candidates
    while hasattr(function, "__wrapped__"):
        function = function.__wrapped__
    return lambda images: function(detector, images)


def _portrait_at(height: int, width: int, top: int, left: int) -> np.ndarray:
    picture = np.full((height, width, 3), 127, np.uint8)
    portrait = data.astronaut()[_PORTRAIT]
    picture[top : top + portrait.shape[0], left : left + portrait.shape[1]] = portrait
    return picture


def _iou(a: np.ndarray, b: np.ndarray) -> float:
    width, height = np.maximum(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0)
    areas = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1])
    return float(width * height / (areas - width * height))
