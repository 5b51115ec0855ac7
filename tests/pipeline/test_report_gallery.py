"""The gallery: which images it shows, and what it says of each box."""

import base64
from pathlib import Path

import cv2
import numpy as np
import pytest
from report_world import LABELS, WIDE, Run, report_run

from pipeline.report.gallery.pictures import judge


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return report_run(tmp_path_factory.mktemp("report"))


def test_both_sides_show_as_many_boxes_as_there_are_faces(run: Run):
    # four faces count; the boxes that count by predicted confidence: .9 .8 .7 .6 | .5 .3
    shown = run.gallery()
    assert (shown.before, shown.after) == ("predicted", "ranked")
    assert shown.before_threshold == pytest.approx(0.6)
    assert shown.after_threshold == pytest.approx(0.7)  # .9 .85 .8 .7 | .1 .05
    before = sum(picture.before.found + picture.before.mistakes for picture in shown.pictures)
    after = sum(picture.after.found + picture.after.mistakes for picture in shown.pictures)
    assert before == after == sum(picture.num_faces for picture in shown.pictures) == 4


def test_the_most_changed_picture_comes_first_and_equals_by_row(run: Run):
    shown = run.gallery()
    assert [picture.path for picture in shown.pictures] == list(LABELS)
    first = shown.pictures[0]
    assert (first.before.found, first.before.mistakes, first.num_faces) == (1, 1, 2)
    assert (first.after.found, first.after.mistakes) == (2, 0)
    assert [picture.path for picture in run.gallery(num_pictures=1).pictures] == ["e/plain.jpg"]


def test_boxes_are_coloured_by_what_they_are_worth_with_the_best_on_top(run: Run):
    first = run.gallery().pictures[0]
    assert [(box.kind, box.x, box.width, box.confidence) for box in first.before.boxes] == [
        ("missed", 110, 60, ""),
        ("mistake", 200, 60, "0.80"),
        ("hit", 10, 60, "0.90"),
    ]
    assert [(box.kind, box.confidence) for box in first.after.boxes] == [("hit", "0.85"), ("hit", "0.90")]


def test_a_box_on_a_face_that_is_ignored_is_neither_found_nor_false(run: Run):
    wide = next(picture for picture in run.gallery().pictures if picture.path == "e/wide.jpg")
    assert [(box.kind, box.confidence) for box in wide.before.boxes] == [("ignored", "0.65"), ("hit", "0.70")]
    assert (wide.num_faces, wide.before.found, wide.before.mistakes) == (1, 1, 0)


def test_a_second_box_on_the_same_face_is_false():
    detections = np.array([[0, 0, 20, 20, 0.9], [0, 0, 20, 21, 0.8], [50, 50, 60, 60, 0.7]], np.float32)
    judged = judge(detections, np.array([[0.0, 0, 20, 20]]), np.array([True]), iou=0.5)
    assert judged.kinds.tolist() == ["hit", "mistake", "mistake"]


def test_in_an_image_without_faces_everything_is_false():
    detections = np.array([[0, 0, 20, 20, 0.9]], np.float32)
    judged = judge(detections, np.zeros((0, 4)), np.zeros(0, bool), iou=0.5)
    assert judged.kinds.tolist() == ["mistake"]


def test_pictures_are_reduced_and_boxes_stay_in_the_pixels_of_the_image(run: Run):
    wide = next(picture for picture in run.gallery().pictures if picture.path == "e/wide.jpg")
    jpeg = base64.b64decode(wide.data_uri.removeprefix("data:image/jpeg;base64,"))
    pixels = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert pixels.shape == (80, 800, 3)
    assert (wide.height, wide.width) == WIDE
    assert max(box.x for box in wide.before.boxes) == 300


def test_an_image_deleted_since_does_not_stop_the_report(tmp_path: Path):
    run = report_run(tmp_path)
    run.index.image_path(0).unlink()
    assert [picture.path for picture in run.gallery().pictures] == list(LABELS)[1:]
