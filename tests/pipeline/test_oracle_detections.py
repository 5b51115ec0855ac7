"""The oracle's detections of all candidates: as far as they matter to AP, and the AP of all of them."""

import math

import numpy as np
import torch
from detection_sets import rows
from hypothesis import given
from hypothesis import strategies as st

from crface.detections import detections_of
from crface.evaluation.matching import match
from crface.evaluation.widerface import evaluation_of
from crface.oracle import oracle_confidence
from pipeline.config.sections import EvaluateConfig
from pipeline.evaluate.detections import ORACLE_ALL, image_detections

CONFIG = EvaluateConfig()


def boxes_in_a_strip(shortest: int) -> st.SearchStrategy[tuple[int, ...]]:
    """Boxes that hide each other, in a strip so long that many reach no face."""
    side = st.integers(shortest, 8)
    return st.builds(
        lambda x, y, width, height: (x, y, x + width, y + height),
        st.integers(0, 30), st.integers(0, 4), side, side,
    )  # fmt: skip


BOXES = st.lists(boxes_in_a_strip(shortest=0), max_size=40)
FACES = st.lists(boxes_in_a_strip(shortest=2), max_size=3)


def all_of_them(candidates: np.ndarray, faces: np.ndarray) -> np.ndarray:
    boxes = torch.from_numpy(candidates)
    oracle = oracle_confidence(boxes[:, :4], torch.from_numpy(faces.astype(np.float32)))
    found = detections_of(boxes, oracle, score_threshold=-math.inf, nms_iou=CONFIG.nms_iou)
    return found.numpy()


def cut(candidates: np.ndarray, faces: np.ndarray) -> np.ndarray:
    return image_detections(candidates, None, faces, CONFIG)[ORACLE_ALL]


def candidates_at(*boxes: tuple[float, ...]) -> np.ndarray:
    return np.array([(*box, 0.5) for box in boxes], np.float32).reshape(-1, 5)


@given(st.lists(st.tuples(BOXES, FACES), min_size=1, max_size=4))
def test_detections_behind_the_first_that_touches_no_face_change_no_ap(
    images: list[tuple[list[tuple[float, ...]], list[tuple[float, ...]]]],
) -> None:
    candidates = [candidates_at(*boxes) for boxes, _ in images]
    faces = [rows(*boxes, width=4) for _, boxes in images]
    masks = {"all": np.concatenate([np.arange(len(boxes)) % 3 < 2 for boxes in faces])}
    whole, short = (
        evaluation_of(match([of(*pair) for pair in zip(candidates, faces, strict=True)], faces, 0.5), masks)
        for of in (all_of_them, cut)
    )
    assert np.array_equal([short.ap["all"]], [whole.ap["all"]], equal_nan=True)
    assert np.array_equal([short.exact_ap["all"]], [whole.exact_ap["all"]], equal_nan=True)


@given(BOXES, FACES)
def test_they_are_the_first_of_all_detections_with_one_miss_at_the_end(
    boxes: list[tuple[float, ...]], faces: list[tuple[float, ...]]
) -> None:
    whole = all_of_them(candidates_at(*boxes), rows(*faces, width=4))
    short = cut(candidates_at(*boxes), rows(*faces, width=4))
    assert short.tolist() == whole[: len(short)].tolist()
    assert len(short) == min(len(whole), (whole[:, 4] > 0).sum() + 1)


def test_the_miss_is_found_behind_hundreds_that_a_better_box_suppresses() -> None:
    face = np.array([[0.0, 0.0, 10.0, 10.0]])
    touching, hidden, free = (9.0, 0.0, 40.0, 30.0), (11.0, 0.0, 41.0, 30.0), (200.0, 0.0, 230.0, 30.0)
    found = cut(candidates_at(touching, *[hidden] * 300, free, free), face)
    assert found[:, :4].tolist() == [list(touching), list(free)]
    assert found[1, 4] == 0


def test_without_a_miss_that_stays_there_is_none() -> None:
    face = np.array([[0.0, 0.0, 10.0, 10.0]])
    touching, hidden = (9.0, 0.0, 40.0, 30.0), (11.0, 0.0, 41.0, 30.0)
    assert len(cut(candidates_at(touching, *[hidden] * 300), face)) == 1
    assert len(cut(candidates_at(), face)) == 0
