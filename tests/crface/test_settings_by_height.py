"""Settings by face height: Figure 5's bins as what `widerface_ap` keeps."""

import numpy as np
import pytest
from detection_sets import rows

from crface.evaluation import widerface_ap
from crface.evaluation.settings import all_faces, by_height, height_bin, height_names


def face(height: float, x: float = 0.0) -> tuple[float, float, float, float]:
    return x, 0.0, x + height, height


def test_a_bin_is_named_by_its_upper_edge_which_belongs_to_it() -> None:
    assert height_names() == ("10", "20", "40", "80", "160", "320", "640", "1280", "2560", "5120")
    heights = [0, 0.5, 10, 10.5, 20, 21, 40, 41, 5120, 5121]
    boxes = rows(*(face(height) for height in heights), width=4)
    assert height_bin(boxes).tolist() == [-1, 0, 0, 1, 1, 2, 2, 3, 9, -1]
    kept = by_height([boxes])
    assert kept["40"][0].nonzero()[0].tolist() == [5, 6]


def test_faces_outside_a_bin_are_ignored_and_not_mistakes() -> None:
    small, large = face(15), face(100, x=200.0)
    kept = by_height([rows(small, large, width=4)])
    found = widerface_ap([rows((*large, 0.9), (*small, 0.5))], [rows(small, large, width=4)], kept)
    assert (found["20"], found["160"]) == (1.0, 1.0)
    assert np.isnan(found["40"])
    missed = widerface_ap([rows((*large, 0.9))], [rows(small, large, width=4)], kept)
    assert (missed["20"], missed["160"]) == (0.0, 1.0)


def test_only_the_faces_allowed_are_kept() -> None:
    boxes = [rows(face(15), face(15, x=100.0), width=4), rows(width=4)]
    allowed = [np.array([True, False]), np.zeros(0, bool)]
    kept = by_height(boxes, among=allowed)
    assert [mask.tolist() for mask in kept["20"]] == [[True, False], []]


def test_bins_may_be_chosen_and_together_hold_each_face_once() -> None:
    generator = np.random.default_rng(0)
    boxes = rows(*(face(height) for height in generator.uniform(1, 99, 50)), width=4)
    kept = by_height([boxes], edges_px=(0, 7.5, 50, 100))
    assert list(kept) == ["7.5", "50", "100"]
    assert sum(masks[0].astype(int) for masks in kept.values()).tolist() == [1] * 50


def test_all_faces_give_one_ap_at_any_iou() -> None:
    boxes = [rows(face(10), face(100, x=200.0), width=4)]
    found = [rows((*face(10), 0.9), (200.0, 0.0, 300.0, 60.0, 0.5))]  # the second: 61 of 101 pixels high
    assert widerface_ap(found, boxes, all_faces(boxes), iou=0.5)["all"] == 1.0
    assert widerface_ap(found, boxes, all_faces(boxes), iou=0.65)["all"] == pytest.approx(1 / 2)
