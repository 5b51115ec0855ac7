"""Small sets of detections and faces to evaluate: drawn by Hypothesis, or made from a seed."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st


def rows(*items: tuple[float, ...], width: int = 5) -> np.ndarray:
    return np.array(items, dtype=np.float64).reshape(-1, width)


# a narrow strip of few positions, sizes and scores: hits, repeated hits, ties and zero-sized boxes are common
_FACE = st.builds(
    lambda x, y, width, height: (float(x), float(y), float(x + width), float(y + height)),
    st.integers(0, 12), st.integers(0, 3), st.integers(0, 6), st.integers(0, 6),
)  # fmt: skip
_SCORE = st.one_of(st.sampled_from([0.0, 0.1, 0.5, 0.50004, 0.9, 1.0]), st.floats(-0.5, 1.5, width=32))
_DETECTION = st.builds(lambda box, score: (*box, score), _FACE, _SCORE)


@st.composite
def data_sets(
    draw: st.DrawFn, min_images: int = 1
) -> tuple[list[np.ndarray], list[np.ndarray], list[np.ndarray]]:
    """Detections, faces, and which faces are kept, of up to four images."""
    detections, faces, kept = [], [], []
    for _ in range(draw(st.integers(min_images, 4))):
        boxes = draw(st.lists(_FACE, max_size=5))
        detections.append(rows(*draw(st.lists(_DETECTION, max_size=8))))
        faces.append(rows(*boxes, width=4))
        kept.append(
            np.array(draw(st.lists(st.booleans(), min_size=len(boxes), max_size=len(boxes))), dtype=bool)
        )
    return detections, faces, kept


@dataclass(frozen=True)
class RandomSet:
    detections: list[np.ndarray]
    faces: list[np.ndarray]
    kept: dict[str, list[np.ndarray]]


def random_set(seed: int, num_images: int = 12) -> RandomSet:
    """Crowds with moved, repeated and false boxes. Among the images are unsorted ones, some with tied scores,
    some without detections, with a single one, and without faces."""
    generator = np.random.default_rng(seed)
    detections, faces = [], []
    for image in range(num_images):
        num_faces = 0 if image % 6 == 3 else int(generator.integers(1, 12))
        boxes = random_boxes(generator, num_faces)
        near = np.repeat(boxes, 3, axis=0) + generator.normal(0, 4, (3 * num_faces, 4))
        found = np.concatenate([near, random_boxes(generator, 6)])
        found[:, 2:] = np.maximum(found[:, :2], found[:, 2:])
        scores = generator.beta(0.5, 0.5, len(found)) * generator.choice([1.0, 1.3])
        if image % 6 == 1:
            scores = scores.round(1)
        number = {2: 0, 4: 1}.get(image % 6, len(found))
        image_rows = np.column_stack([found, scores])[:number]
        order = np.argsort(-image_rows[:, 4]) if image % 2 else generator.permutation(number)
        detections.append(image_rows[order])
        faces.append(boxes)
    kept = {
        "some": [generator.random(len(boxes)) < 0.6 for boxes in faces],
        "all": [np.ones(len(boxes), dtype=bool) for boxes in faces],
        "none": [np.zeros(len(boxes), dtype=bool) for boxes in faces],
    }
    return RandomSet(detections, faces, kept)


def random_boxes(generator: np.random.Generator, number: int) -> np.ndarray:
    corners = generator.uniform(0, 200, (number, 2))
    return np.column_stack([corners, corners + generator.uniform(5, 50, (number, 1)) * [1.0, 1.2]]).round()


def masks(items: Sequence[Sequence[bool]]) -> list[np.ndarray]:
    return [np.array(item, dtype=bool) for item in items]
