"""What a training example is, made slowly; and that making one keeps to the thread that does it."""

import threading
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from jaxtyping import Float32
from ranker_world import World, small_config

import crface.oracle
from crface.boxes import iou
from crface.oracle import closest_face
from crface.ranker.inputs import MEAN_RGB
from crface.training.augmentation import draw_transform
from crface.training.examples import make_example
from pipeline.blocks.complete import open_complete
from pipeline.train.examples import ExampleSource

SIDE_PX, NUM_ROWS = 96, 40
PAIRS_THAT_PYTORCH_SHARES = 5000 * 12
"""More than 32,768, from which on it would have other threads help."""


def some_boxes(random: np.random.Generator, count: int, width: int, height: int) -> np.ndarray:
    corners = random.uniform(0, (width, height), (count, 2))
    return np.concatenate([corners, corners + random.uniform(2, 40, (count, 2))], axis=1).astype(np.float32)


def with_confidences(boxes: Float32[np.ndarray, "box 4"]) -> np.ndarray:
    return np.concatenate([boxes, np.linspace(1, 0.1, len(boxes), dtype=np.float32)[:, None]], axis=1)


@pytest.mark.parametrize("place", range(8))
def test_an_example_is_what_its_definition_says_worked_out_number_by_number(place: int) -> None:
    random = np.random.default_rng(place)
    height, width = int(random.integers(40, 160)), int(random.integers(40, 160))
    image = random.integers(0, 255, (height, width, 3), dtype=np.uint8)
    candidates = with_confidences(some_boxes(random, 60, width, height))
    faces = some_boxes(random, 4, width, height)
    made = make_example(image, candidates, faces, (3, 7, place), NUM_ROWS, SIDE_PX)

    drawn = draw_transform(np.random.default_rng([3, 2, 7, place]), width, height, SIDE_PX)
    left, top, window_width, window_height = drawn.window
    columns, rows = drawn.size
    is_smaller = columns < window_width
    scaled = cv2.resize(
        image[top : top + window_height, left : left + window_width],
        (columns, rows),
        interpolation=cv2.INTER_AREA if is_smaller else cv2.INTER_LINEAR,
    )
    linear, offset = drawn.colours[:, :3].astype(float), drawn.colours[:, 3]
    picture = np.full((SIDE_PX, SIDE_PX, 3), MEAN_RGB)
    for row in range(rows):
        for column in range(columns):
            to = columns - 1 - column if drawn.is_mirrored else column
            picture[row, to] = np.clip(linear @ scaled[row, column] + offset, 0, 255)
    assert np.abs(made.picture - picture).max() < 1  # OpenCV counts in thousandths, and rounds
    assert made.size == (columns, rows)

    expected = np.zeros((NUM_ROWS, 7))
    expected[:, 6] = -1
    filled = 0
    for x1, y1, x2, y2, confidence in candidates.astype(float):
        is_inside = left <= (x1 + x2) / 2 < left + window_width and top <= (y1 + y2) / 2 < top + window_height
        if filled == NUM_ROWS or not is_inside:
            continue
        overlaps = [plain_iou((x1, y1, x2, y2), face) for face in faces.astype(float)]
        best = int(np.argmax(overlaps))
        x = (left + window_width - x2 if drawn.is_mirrored else x1 - left) / window_width
        expected[filled] = [
            x,
            (y1 - top) / window_height,
            (x2 - x1) / window_width,
            (y2 - y1) / window_height,
            confidence,
            overlaps[best],
            best if overlaps[best] else -1,
        ]
        filled += 1
    found = np.concatenate([made.rows, made.oracle[:, None], made.face[:, None]], axis=1)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def plain_iou(a: tuple[float, ...], b: np.ndarray) -> float:
    width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    areas = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1])
    return width * height / (areas - width * height)


@given(
    seed=st.integers(0, 1000), num_boxes=st.integers(0, 30), num_faces=st.integers(0, 5), at_a_time=st.integers(1, 40)
)  # fmt: skip
def test_the_closest_face_is_the_same_however_few_boxes_are_looked_at_together(
    seed: int, num_boxes: int, num_faces: int, at_a_time: int
) -> None:
    random = np.random.default_rng(seed)
    boxes, faces = (
        torch.from_numpy(some_boxes(random, count, 60, 60).round()) for count in (num_boxes, num_faces)
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(crface.oracle, "CPU_PAIRS", at_a_time)
        overlap, face = closest_face(boxes, faces)
    if not num_faces:
        assert (overlap == 0).all()
        assert (face == -1).all()
        return
    whole, first = iou(boxes, faces).max(dim=1)
    assert torch.equal(overlap, whole)
    assert torch.equal(face, torch.where(whole > 0, first, -1))


@pytest.fixture
def four_threads() -> Iterator[None]:
    """PyTorch on a machine of four cores, whatever this one has."""
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("four_threads")
def test_oracle_confidences_are_worked_out_without_the_help_of_other_threads() -> None:
    random = np.random.default_rng(0)
    boxes = torch.from_numpy(some_boxes(random, 5000, 900, 900))
    faces = torch.from_numpy(some_boxes(random, PAIRS_THAT_PYTORCH_SHARES // 5000, 900, 900))

    def born(work: object) -> set[int]:
        """The threads that there are more after some work in a thread of its own than before."""
        before, after = _threads(), set()

        def run() -> None:
            assert callable(work)
            work()
            after.update(_threads() - {threading.get_native_id()})

        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
        return after - before

    assert born(lambda: iou(boxes, faces))  # this is what would be seen
    assert not born(lambda: closest_face(boxes, faces))


def _threads() -> set[int]:
    return {int(task.name) for task in Path("/proc/self/task").iterdir()}


def test_opencv_works_alone_in_each_of_the_loaders_threads_and_as_before_afterwards(tmp_path: Path) -> None:
    world = World(tmp_path)
    stores = [open_complete(world.workspace, world.index(), world.cache())]
    source = ExampleSource(world.index(), range(6), stores, small_config(), image_cache_bytes=0)
    cv2.setNumThreads(3)
    try:
        batches = source.batches(0, num_threads=2)
        next(batches)
        assert cv2.getNumThreads() == 1
        batches.close()
        assert cv2.getNumThreads() == 3
    finally:
        cv2.setNumThreads(-1)
