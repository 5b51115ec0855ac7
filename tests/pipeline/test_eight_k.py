"""The embedded split of natively large pictures: faces of all sizes, none in front of another."""

from itertools import combinations
from pathlib import Path

import cv2
import numpy as np
from embedded_folder import TINY, read_labels, tree

from pipeline.embedded import make_dataset
from pipeline.embedded.canvas import Sprite
from pipeline.embedded.eight_k import compose_eight_k
from pipeline.embedded.eight_k_places import BIN_EDGES, PER_BIN, face_heights, people_places
from pipeline.embedded.extra_splits import make_extra_split


def test_every_bin_of_figure_5_has_its_faces_from_9_to_over_4000_pixels() -> None:
    rng = np.random.default_rng(0)
    heights = [height for number in range(8) for height in face_heights(rng, 7680, number)]
    counts, _ = np.histogram(heights, BIN_EDGES)
    assert counts.tolist() == [8 * count for count in PER_BIN[:-2]] + [4, 4]
    assert 9 <= min(heights) < 10
    assert 4000 < max(heights) <= 4130


def test_a_smaller_picture_has_faces_in_proportion_but_none_below_9_pixels() -> None:
    large, small = (face_heights(np.random.default_rng(0), side, 0) for side in (7680, 960))
    assert small == [max(9.0, height / 8) for height in large]


def test_nobody_stands_in_front_of_the_face_of_one_farther_away() -> None:
    for number in range(6):
        people = people_places(np.random.default_rng(number), 7680, 4320, number)
        assert len(people) > 6
        assert [one.height_px for one in people] == sorted(one.height_px for one in people)
        for far, near in combinations(people, 2):
            gap = np.hypot(near.x - far.x, near.y - far.y)
            assert gap > 0.5 * (near.height_px + far.height_px) * 0.9


def test_the_split_has_a_twentieth_of_the_pictures_of_val_twelve_times_as_long(tmp_path: Path) -> None:
    root = tmp_path / "data"
    make_dataset(root, TINY)
    before = tree(root)
    make_extra_split(root, "8k", TINY, processes=1)
    after = tree(root)
    assert before.items() <= after.items()
    ((name, faces),) = read_labels(root, "8k").items()
    assert name.endswith("_Eight_K_14_0.jpg")
    height, width, _ = cv2.imread(str(root / "WIDER_8k" / "images" / name)).shape
    assert max(height, width) == 12 * 96
    assert len(faces) > 5
    for x, y, w, h, *_ in faces:
        assert min(x, y) >= 0
        assert min(w, h) > 0
        assert x + w <= width
        assert y + h <= height
    assert max(face[3] for face in faces) > 0.2 * width

    make_extra_split(root, "8k", TINY, lambda done, total: None)
    assert tree(root) == after


def test_a_large_picture_is_the_same_every_time_and_another_for_another_seed() -> None:
    def pixels(seed: int) -> bytes:
        config = TINY.model_copy(update={"seed": seed, "long_side_px": 640})
        return compose_eight_k(config, "8k", 0).degraded.image.tobytes()

    assert pixels(1) == pixels(1) != pixels(2)


def test_what_is_cut_off_a_sprite_stays_known_of_its_face() -> None:
    outline = np.array([[2.0, 2.0], [8.0, 2.0], [8.0, 9.0]])
    sprite = Sprite(np.zeros((10, 10, 4), np.uint8), np.ones((10, 10), bool), outline, 21.0, (5.0, 5.0))
    part = sprite.cropped(1, 3, 7, 10)
    assert part.face.shape == (7, 6)
    assert part.outline.tolist() == [[1.0, -1.0], [7.0, -1.0], [7.0, 6.0]]
    assert (part.face_area_px, part.anchor) == (21.0, (4.0, 2.0))
