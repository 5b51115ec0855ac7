"""COCO's figures from the same detections: by hand, silent, and defined where there is nothing."""

import math

import numpy as np
import pytest

from pipeline.evaluate.coco import coco_ap

FACES = [np.array([[0.0, 0.0, 50.0, 50.0], [100.0, 0.0, 150.0, 50.0]]), np.zeros((0, 4))]


def test_half_of_the_faces_found_exactly_is_51_of_the_101_recalls_that_coco_reads() -> None:
    found = coco_ap([np.array([[0.0, 0.0, 50.0, 50.0, 0.9]]), np.zeros((0, 5))], FACES)
    assert found.ap == pytest.approx(51 / 101)
    assert found.ap50 == pytest.approx(51 / 101)
    assert found.ap_medium == pytest.approx(51 / 101)  # 50 x 50 lies between 32 x 32 and 96 x 96
    assert (found.ar_1, found.ar_100) == (pytest.approx(0.5), pytest.approx(0.5))
    assert math.isnan(found.ap_small)
    assert math.isnan(found.ap_large)
    assert (found.num_images, found.num_faces) == (2, 2)


def test_a_box_of_iou_0_6_counts_at_three_of_the_ten_overlaps() -> None:
    boxes = np.array([[0.0, 0.0, 50.0, 30.0, 0.9], [100.0, 0.0, 150.0, 30.0, 0.8]])  # 0.6 at 0.5, 0.55, 0.6
    found = coco_ap([boxes, np.zeros((0, 5))], FACES)
    assert found.ap == pytest.approx(0.3)
    assert (found.ap50, found.ap75) == (pytest.approx(1), 0)


def test_it_prints_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    coco_ap([np.array([[0.0, 0.0, 50.0, 50.0, 0.9]]), np.zeros((0, 5))], FACES)
    assert capfd.readouterr() == ("", "")


def test_without_detections_ap_is_0_and_without_faces_there_is_none() -> None:
    assert coco_ap([np.zeros((0, 5))] * 2, FACES).ap == 0
    without = coco_ap([np.array([[0.0, 0.0, 50.0, 50.0, 0.9]])], [np.array([[5.0, 5.0, 5.0, 9.0]])])
    assert math.isnan(without.ap)
    assert without.num_faces == 0
    with pytest.raises(ValueError, match="1 images in `faces`, but 0"):
        coco_ap([], [np.zeros((0, 4))])
