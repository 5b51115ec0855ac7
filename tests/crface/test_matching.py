"""Which face each detection hits: ties, precision, far coordinates, and what is refused."""

import numpy as np
import pytest
from detection_sets import random_boxes, random_set, rows

from crface.evaluation import match, widerface_ap

A, B = (0.0, 0.0, 10.0, 10.0), (100.0, 0.0, 110.0, 10.0)
NOWHERE = (500.0, 500.0, 510.0, 510.0)


def test_hits_follow_the_order_of_the_detections_and_the_first_of_equal_scores_finds() -> None:
    hits = match(
        [rows((*B, 0.5), (*A, 0.9)), rows(), rows((*A, 0.2), (*NOWHERE, 0.3), (*A, 0.2))],
        [rows(A, B, width=4), rows(A, width=4), rows(A, width=4)],
    )
    assert hits.scores.tolist() == [0.5, 0.9, 0.2, 0.3, 0.2]
    assert hits.face.tolist() == [1, 0, 3, -1, 3]
    assert hits.finder.tolist() == [1, 0, -1, 2]
    assert hits.image.tolist() == [0, 0, 2, 2, 2]
    assert hits.face_image.tolist() == [0, 0, 1, 2]
    assert hits.ascending_scores.tolist() == [0.2, 0.2, 0.3, 0.5, 0.9]
    assert hits.score_range == (0.2, 0.9)


def test_of_faces_overlapped_alike_the_first_is_hit() -> None:
    twice = rows((0.0, 0.0, 10.0, 12.0), (0.0, -2.0, 10.0, 10.0), width=4)
    assert match([rows((*A, 0.9))], [twice]).face.tolist() == [0]
    assert match([rows((*A, 0.9))], [twice[::-1]]).face.tolist() == [0]


@pytest.mark.parametrize("iou", [0.05, 0.3, 0.5, 0.75, 1.0])
def test_in_a_crowd_every_hit_is_that_of_all_overlaps_compared(iou: float) -> None:
    generator = np.random.default_rng(0)
    faces = random_boxes(generator, 150)
    found = np.concatenate([faces, np.repeat(faces, 4, axis=0) + generator.normal(0, 6, (600, 4))])
    found[:, 2:] = np.maximum(found[:, :2], found[:, 2:])
    expected = []
    for box in found:
        width, height = np.maximum(
            np.minimum(box[2:], faces[:, 2:]) - np.maximum(box[:2], faces[:, :2]) + 1, 0
        ).T
        areas = np.prod(box[2:] - box[:2] + 1) + np.prod(faces[:, 2:] - faces[:, :2] + 1, axis=1)
        overlaps = width * height / (areas - width * height)
        expected.append(int(overlaps.argmax()) if overlaps.max() >= iou else -1)
    hits = match([np.column_stack([found, np.ones(len(found))])], [faces], iou)
    assert hits.face.tolist() == expected
    assert max(expected) > 100


def test_single_precision_gives_the_ap_of_the_same_numbers_in_double() -> None:
    data = random_set(0)
    single = [image.astype(np.float32) for image in data.detections]
    double = [image.astype(np.float64) for image in single]
    first, second = (widerface_ap(images, data.faces, data.kept) for images in (single, double))
    assert first.ap == pytest.approx(second.ap, abs=0, nan_ok=True)
    assert first.exact_ap == pytest.approx(second.exact_ap, abs=0, nan_ok=True)


def test_a_box_far_outside_every_image_is_a_plain_mistake() -> None:
    far = (1e30, -1e30, 2e30, 1e30)
    hits = match([rows((*far, 0.9), (*A, 0.5))], [rows(A, width=4)])
    assert hits.face.tolist() == [-1, 0]


def test_a_face_of_negative_size_is_hit_by_nothing() -> None:
    # the official ground truth has one
    inside_out = (50.0, 50.0, 40.0, 60.0)
    hits = match([rows((*inside_out, 0.9), (40.0, 50.0, 50.0, 60.0, 0.8))], [rows(inside_out, A, width=4)])
    assert hits.face.tolist() == [-1, -1]


@pytest.mark.parametrize("iou", [0.0, -0.5, 1.5, np.nan])
def test_an_iou_that_makes_no_hit_is_refused(iou: float) -> None:
    with pytest.raises(ValueError, match="it must be above 0 and at most 1"):
        match([], [], iou)
