"""Examples to train a ranker on, made from a seed."""

import numpy as np

from crface.training.examples import Example, make_example


def example(place: int, step: int = 0, num_candidates: int = 8) -> Example:
    """A training example drawn from its place alone, transformed as at this step."""
    random = np.random.default_rng(place)
    image = random.integers(0, 256, (48, 64, 3), dtype=np.uint8)
    corners = random.uniform(0, 40, (10, 2))
    confidences = np.sort(random.uniform(0, 1, (10, 1)), axis=0)[::-1]
    candidates = np.concatenate([corners, corners + 8, confidences], axis=1).astype(np.float32)
    faces = candidates[::3, :4] + np.float32(1)
    return make_example(image, candidates, faces, (0, step, place), num_candidates, side_px=32)


def batch(step: int) -> list[Example]:
    """Four examples, the same for the same step."""
    return [example(place, step) for place in range(4)]
