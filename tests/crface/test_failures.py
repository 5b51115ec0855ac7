"""What goes wrong at an operating point: every kind of failure by hand, and a slow loop that must agree."""

import numpy as np
import pytest
from detection_sets import data_sets, random_set, rows
from failure_counts import count_detections, count_faces
from hypothesis import given, settings

from crface.evaluation import best_f1, exact_curve, match
from crface.evaluation.failures import (
    DetectionOutcome,
    FaceOutcome,
    find_failures,
)
from crface.evaluation.settings import height_bin

A, B, C, D = ((x, 0.0, x + 10.0, 10.0 + x / 10) for x in (0.0, 100.0, 200.0, 300.0))
BESIDE_A = (0.0, 5.0, 10.0, 15.0)  # 66 of 176 pixels: IoU 0.375
NOWHERE = (500.0, 500.0, 510.0, 510.0)


def test_each_kind_of_failure_by_hand() -> None:
    detections = rows((*A, 0.9), (*A, 0.8), (*BESIDE_A, 0.7), (*NOWHERE, 0.6), (*D, 0.55), (*B, 0.2))
    candidates = np.concatenate([detections, rows((*B, 0.3), (*NOWHERE, 0.1))])
    failures = find_failures(
        [candidates], [detections], [rows(A, B, C, D, width=4)], [np.array([True, True, True, False])], 0.5
    )
    assert [FaceOutcome(item).name for item in failures.face_outcome] == [
        "FOUND", "FIXABLE", "UNREACHABLE", "IGNORED",
    ]  # fmt: skip
    assert failures.face_score.tolist() == pytest.approx([0.9, 0.2, np.nan, 0.55], nan_ok=True)
    assert failures.face_candidate_score.tolist() == pytest.approx([0.9, 0.3, np.nan, 0.55], nan_ok=True)
    assert failures.face_height_px.tolist() == [10, 20, 30, 40]
    assert [DetectionOutcome(item).name for item in failures.detection_outcome] == [
        "FINDS", "DUPLICATE", "MISPLACED", "BACKGROUND", "IGNORED",
    ]  # fmt: skip
    faces, found = count_faces(failures), count_detections(failures)
    assert (faces.num_faces, faces.num_found, faces.num_missed) == (3, 1, 2)
    assert (faces.num_fixable, faces.num_unreachable) == (1, 1)
    assert (found.num_finding, found.num_false_positives) == (1, 3)
    assert (found.num_duplicates, found.num_misplaced, found.num_background) == (1, 1, 1)


def test_a_face_whose_only_candidate_lies_better_on_another_face_is_unreachable() -> None:
    nearer, farther = (0.0, 0.0, 20.0, 20.0), (0.0, 0.0, 20.0, 22.0)
    found = rows((*nearer, 0.9))
    failures = find_failures([found], [found], [rows(farther, nearer, width=4)], [np.ones(2, bool)], 0.5)
    assert failures.face_outcome.tolist() == [FaceOutcome.UNREACHABLE, FaceOutcome.FOUND]


def test_detections_in_an_image_without_faces_are_background() -> None:
    found = rows((*A, 0.9), (*B, 0.4))
    failures = find_failures([found], [found], [rows(width=4)], [np.zeros(0, bool)], 0.5)
    assert failures.detection_outcome.tolist() == [DetectionOutcome.BACKGROUND]
    assert count_faces(failures).num_faces == 0


def test_rows_tell_the_image_and_the_place_in_it() -> None:
    images = [rows((*NOWHERE, 0.1), (*A, 0.9)), rows(), rows((*B, 0.5))]
    faces = [rows(A, width=4), rows(width=4), rows(A, B, width=4)]
    failures = find_failures(images, images, faces, [np.ones(len(boxes), bool) for boxes in faces], 0.5)
    assert failures.face_image.tolist() == [0, 2, 2]
    assert failures.face_number.tolist() == [0, 0, 1]
    assert failures.detection_image.tolist() == [0, 2]
    assert failures.detection_number.tolist() == [1, 0]
    assert failures.detection_score.tolist() == [0.9, 0.5]


def test_faces_are_counted_by_height_and_by_attribute() -> None:
    faces = rows(A, B, C, width=4)
    found = rows((*A, 0.9))
    failures = find_failures([rows((*A, 0.9), (*B, 0.1))], [found], [faces], [np.ones(3, bool)], 0.5)
    heights = height_bin(faces)
    by_height = {number: count_faces(failures, heights == number) for number in range(3)}
    assert {number: counts.num_found for number, counts in by_height.items()} == {0: 1, 1: 0, 2: 0}
    assert {number: counts.num_missed for number, counts in by_height.items()} == {0: 0, 1: 1, 2: 1}
    occlusion = np.array([0, 2, 2])
    by_occlusion = {value: count_faces(failures, occlusion == value) for value in (0, 2)}
    assert (by_occlusion[0].num_missed, by_occlusion[2].num_fixable, by_occlusion[2].num_unreachable) == (
        0,
        1,
        1,
    )
    assert count_faces(failures, occlusion == 2) == by_occlusion[2]


def test_at_the_best_f1_the_counts_are_those_of_the_curve() -> None:
    data = random_set(0, num_images=30)
    kept = np.concatenate(data.kept["some"])
    point = best_f1(exact_curve(match(data.detections, data.faces), kept))
    failures = find_failures(data.detections, data.detections, data.faces, data.kept["some"], point.threshold)
    counts = count_faces(failures)
    assert counts.num_found / counts.num_faces == pytest.approx(point.recall)
    beside_faces = np.array([len(boxes) > 0 for boxes in data.faces])[failures.detection_image]
    outcomes = failures.detection_outcome[beside_faces]
    num_proposals = (outcomes != DetectionOutcome.IGNORED).sum()
    assert counts.num_found / num_proposals == pytest.approx(point.precision)
    assert (outcomes == DetectionOutcome.FINDS).sum() == counts.num_found


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    width, height = np.maximum(np.minimum(a[2:4], b[2:]) - np.maximum(a[:2], b[:2]) + 1, 0)
    areas = np.prod(a[2:4] - a[:2] + 1) + np.prod(b[2:] - b[:2] + 1)
    return float(width * height / (areas - width * height))


def hit_by(row: np.ndarray, faces: np.ndarray) -> tuple[int, float]:
    overlaps = [overlap(row, face) for face in faces]
    return (int(np.argmax(overlaps)), max(overlaps)) if overlaps else (-1, 0.0)


@given(data_sets())
@settings(max_examples=60, deadline=None)
def test_outcomes_are_those_of_a_plain_loop(
    data: tuple[list[np.ndarray], list[np.ndarray], list[np.ndarray]],
) -> None:
    candidates, faces, kept = data
    detections = [image[::2] for image in candidates]
    failures = find_failures(candidates, detections, faces, kept, 0.5)
    face_outcomes, detection_outcomes = [], []
    for image, boxes in enumerate(faces):
        best = [max((r[4] for r in detections[image] if hit_by(r, boxes)[0] == f and hit_by(r, boxes)[1] >= 0.5),
                    default=-9.0) for f in range(len(boxes))]  # fmt: skip
        for number in range(len(boxes)):
            near = [hit_by(row, boxes) for row in candidates[image]]
            is_reachable = any(face == number and iou >= 0.5 for face, iou in near)
            face_outcomes.append(
                FaceOutcome.IGNORED if not kept[image][number]
                else FaceOutcome.FOUND if best[number] >= 0.5
                else FaceOutcome.FIXABLE if is_reachable
                else FaceOutcome.UNREACHABLE
            )  # fmt: skip
        taken = set()
        for row in detections[image]:
            face, iou = hit_by(row, boxes)
            if row[4] < 0.5:
                continue
            if iou < 0.5:
                outcome = DetectionOutcome.MISPLACED if iou >= 0.1 else DetectionOutcome.BACKGROUND
            elif not kept[image][face]:
                outcome = DetectionOutcome.IGNORED
            elif row[4] == best[face] and face not in taken:
                taken.add(face)
                outcome = DetectionOutcome.FINDS
            else:
                outcome = DetectionOutcome.DUPLICATE
            detection_outcomes.append(outcome)
    assert failures.face_outcome.tolist() == face_outcomes
    assert failures.detection_outcome.tolist() == detection_outcomes


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="leaves no misplaced boxes"):
        find_failures([], [], [], [], 0.5, iou=0.1)
    with pytest.raises(ValueError, match="one mask an image, with one value a face"):
        find_failures([rows()], [rows()], [rows(A, width=4)], [np.ones(2, bool)], 0.5)
