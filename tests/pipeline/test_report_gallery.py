"""The gallery: which images it shows, what it says of each box, and that a page holds no more than it may."""

import base64
import dataclasses
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
from gallery_world import CHANGES, EVIL, FACELESS, HELPED, HURT, PATHS, SAME, SMALL, gallery_run
from html_elements import Elements
from report_world import WIDE, Run, report_run

from crface.evaluation.failures import DetectionOutcome
from pipeline.blocks.store import RowStore
from pipeline.config.sections import EvaluateConfig
from pipeline.dataset.index import Index
from pipeline.ground_truth.truth import load_ground_truth
from pipeline.report.gallery.choosing import most_changed, within_budget
from pipeline.report.gallery.judging import ABSENT, UNJUDGED, Faces, judge_image
from pipeline.report.gallery.page import Contents, contents
from pipeline.report.gallery.reading import SourceImages, open_images, split_faces
from pipeline.report.gallery.records import image_record, script_safe
from pipeline.report.gallery.survey import FAILURES, SIZES, Line, Survey, spread_evenly, survey

WITHOUT_LIMIT = 10**9
FACE = (0.0, 0.0, 20.0, 20.0)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return gallery_run(tmp_path_factory.mktemp("gallery"))


@pytest.fixture(scope="module")
def surveyed(run: Run) -> Survey:
    return survey_of(run)


@pytest.fixture(scope="module")
def shown(run: Run) -> Contents:
    return contents_of(run)


def images_of(run: Run, source: int = 0) -> SourceImages:
    faces = split_faces(run.index, load_ground_truth(run.index))
    return open_images(run.workspace, run.sources[source], faces, run.config.evaluate)


def survey_of(run: Run, source: int = 0) -> Survey:
    return survey(images_of(run, source), run.index.ok_rows)


def contents_of(run: Run, budget_bytes: int = WITHOUT_LIMIT) -> Contents:
    return contents(run.evaluation, load_ground_truth(run.index), budget_bytes)


def line_of(found: Survey, path: str) -> Line:
    return found.lines[PATHS.index(path)]


def faces(*boxes: tuple[float, float, float, float]) -> Faces:
    return Faces(np.array(boxes, np.float64).reshape(-1, 4), np.ones(len(boxes), dtype=bool))


def rows(*values: tuple[float, ...]) -> np.ndarray:
    return np.array(values, np.float32).reshape(-1, 5)


def test_both_sides_start_with_as_many_boxes_as_there_are_faces(surveyed: Survey):
    start = surveyed.steps[surveyed.start]
    assert (start.share, start.before, start.after) == (1.0, 0.6, 0.7)
    for side in (0, 1):
        assert sum(line.found[side] + line.mistakes[side] for line in surveyed.lines) == 7


def test_the_slider_ends_where_every_box_is_shown(surveyed: Survey):
    last = surveyed.steps[-1]
    assert (last.before, last.after) == (0.15, 0.02)
    thresholds = [(step.before, step.after) for step in surveyed.steps]
    assert thresholds == sorted(thresholds, reverse=True)


def test_a_change_is_faces_found_minus_mistakes_after_minus_before(surveyed: Survey):
    assert {PATHS[line.row]: line.change for line in surveyed.lines} == CHANGES
    assert [PATHS[line.row] for line in surveyed.lines if not line.is_changed] == [SAME]


def test_a_line_names_the_failures_on_either_side(surveyed: Survey):
    def failures(path: str) -> list[str]:
        return [name for bit, name in enumerate(FAILURES) if line_of(surveyed, path).failures >> bit & 1]

    assert failures(HELPED) == ["missed, though a candidate hits it", "box on the background"]
    assert failures(SMALL) == ["missed, though a candidate hits it"]
    assert failures(FACELESS) == ["box on the background"]
    assert failures(SAME) == []


def test_a_line_names_the_sizes_of_faces(surveyed: Survey):
    sizes = {path: line_of(surveyed, path).sizes for path in (HELPED, SMALL, FACELESS)}
    assert sizes == {HELPED: 1 << SIZES.index("40 to 80 px high"), SMALL: 1, FACELESS: 0}


def test_without_a_ranker_the_second_side_is_the_oracle(run: Run):
    found = survey_of(run, source=1)
    assert line_of(found, HELPED).found == (1, 2)
    # the image's own boxes: on both faces, and nowhere
    assert images_of(run, source=1).judged(0).after.scores.tolist() == pytest.approx([1.0, 0.0, 1.0])


def test_only_the_best_box_of_a_face_finds_it():
    candidates = rows((*FACE, 0.9), (0, 0, 20, 21, 0.8), (50, 50, 60, 60, 0.7), (14, 0, 34, 20, 0.6))
    loose = EvaluateConfig(nms_iou=0.99)
    judged = judge_image(0, candidates, np.array([0.1, 0.8, 0.7, 0.6], np.float32), faces(FACE), loose)
    finds, duplicate, background, misplaced = (
        DetectionOutcome.FINDS,
        DetectionOutcome.DUPLICATE,
        DetectionOutcome.BACKGROUND,
        DetectionOutcome.MISPLACED,
    )
    assert judged.before.outcome.tolist() == [finds, duplicate, background, misplaced]
    assert judged.after.outcome.tolist() == [duplicate, finds, background, misplaced]
    assert (judged.before.face_score[0], judged.after.face_score[0]) == (0.9, 0.8)


def test_a_box_that_one_side_suppresses_is_absent_there():
    candidates = rows((*FACE, 0.9), (0, 0, 20, 21, 0.8))
    judged = judge_image(0, candidates, np.array([0.1, 0.8], np.float32), faces(FACE), EvaluateConfig())
    assert judged.before.outcome.tolist() == [DetectionOutcome.FINDS, ABSENT]
    assert judged.after.outcome.tolist() == [ABSENT, DetectionOutcome.FINDS]


def test_a_box_below_the_threshold_is_on_neither_side_but_can_reach_a_face():
    judged = judge_image(0, rows((*FACE, 0.01)), np.array([0.9], np.float32), faces(FACE), EvaluateConfig())
    assert len(judged.boxes) == 0
    assert judged.is_reachable.tolist() == [True]
    assert np.isnan(judged.after.face_score).all()


@pytest.mark.parametrize("known", [faces(), faces(FACE), None])
def test_an_image_without_candidates_has_no_boxes(known: Faces | None):
    judged = judge_image(0, rows(), np.zeros(0, np.float32), known, EvaluateConfig())
    assert image_record(judged)["boxes"] == []


def test_in_an_image_without_faces_every_box_is_false():
    judged = judge_image(0, rows((*FACE, 0.9)), np.array([0.8], np.float32), faces(), EvaluateConfig())
    assert judged.before.outcome.tolist() == judged.after.outcome.tolist() == [DetectionOutcome.BACKGROUND]


def test_boxes_of_an_image_without_labels_are_not_judged():
    judged = judge_image(0, rows((*FACE, 0.9)), np.array([0.8], np.float32), None, EvaluateConfig())
    assert judged.before.outcome.tolist() == judged.after.outcome.tolist() == [UNJUDGED]
    assert image_record(judged)["boxes"] == [[*FACE, 0.9, 0.8, None, UNJUDGED, UNJUDGED]]


def test_a_record_has_every_confidence_of_a_box_and_what_finds_a_face(run: Run):
    record = image_record(images_of(run).judged(PATHS.index(HELPED)))
    finds, background = int(DetectionOutcome.FINDS), int(DetectionOutcome.BACKGROUND)
    assert record["boxes"] == [
        [10, 10, 70, 70, 0.9, 0.9, 1, finds, finds],
        [200, 100, 260, 160, 0.8, 0.1, 0, background, background],
        [110, 10, 170, 70, 0.3, 0.85, 1, finds, finds],
    ]
    assert record["faces"] == [[10, 10, 70, 70, 1, 0.9, 0.9, 1], [110, 10, 170, 70, 1, 0.3, 0.85, 1]]
    assert record["leftOut"] == 0


def test_a_record_leaves_out_the_least_confident_of_very_many_boxes():
    corners = [(30.0 * i, 0.0, 30.0 * i + 20, 20.0, 1 - i / 1000) for i in range(300)]
    judged = judge_image(0, rows(*corners), None, faces(FACE), EvaluateConfig())
    record = image_record(judged)
    assert record["leftOut"] == 300 - len(record["boxes"])
    assert [box[0] for box in record["boxes"]] == [30.0 * i for i in range(200)]


def test_json_in_a_page_cannot_end_its_script():
    names = {"name": "</script><!--<script>&amp;\u2028"}
    text = script_safe(names)
    assert not set(text) & set("<>&\u2028")
    assert json.loads(text) == names


def test_images_are_chosen_in_turn_for_the_better_and_for_the_worse():
    def line(row: int, change: int, *, mixed: int = 0) -> Line:
        return Line(row, 9, (3, 3 + mixed + max(change, 0)), (0, mixed + max(-change, 0)), 0, 0)

    first = [line(0, 1), line(1, 3), line(2, -1), line(3, -2), line(4, 0), line(5, 0, mixed=1)]
    second = [line(0, 0), line(1, 0), line(2, 4), line(3, 4), line(4, -1), line(5, 0)]
    assert list(most_changed([first, second])) == [1, 3, 2, 4, 0, 5]


def test_images_are_taken_until_the_page_is_full():
    sizes = {7: 40, 8: 0, 9: 40, 10: 40, 11: 1}
    assert within_budget(iter(sizes), sizes.__getitem__, 100) == [7, 9]


def test_of_many_images_a_sample_is_spread_evenly():
    assert spread_evenly(range(10, 20), 4) == [10, 12, 15, 17]
    assert spread_evenly(range(3), 4) == [0, 1, 2]


def test_the_page_has_every_image_that_changed_and_each_picture_once(shown: Contents):
    changed_by_either = {path for path in PATHS if path != SAME}
    assert {picture.path for picture in shown.pictures.values()} == changed_by_either
    data = json.loads(shown.data)
    assert [one["name"] for one in data["detectors"]] == ["some-detector", "other-detector"]
    assert [one["after"] for one in data["detectors"]] == ["ranked", "oracle"]
    for detector in data["detectors"]:
        assert {int(row) for row in detector["images"]} == set(shown.pictures)
        assert {line[0] for line in detector["lines"]} == set(shown.pictures)


def test_a_small_page_has_the_most_changed_images_and_says_how_many(run: Run, shown: Contents):
    whole = sum(len(picture.data_uri) for picture in shown.pictures.values())
    few = contents_of(run, whole // 2)
    assert 0 < len(few.pictures) < few.num_changed == len(shown.pictures)
    assert [PATHS[row] for row in few.pictures][:2] == [HELPED, HURT]


def test_every_image_is_read_once(run: Run, monkeypatch: pytest.MonkeyPatch):
    read: Counter[tuple[str, int]] = Counter()
    from_store, from_file = RowStore.read, Index.read_image

    def counted_row(store: RowStore, row: int) -> np.ndarray:
        read[str(store.path), row] += 1
        return from_store(store, row)

    def counted_rows(store: RowStore, rows: Sequence[int]) -> Iterator[np.ndarray]:
        read.update((str(store.path), row) for row in rows)
        return (from_store(store, row) for row in rows)

    def counted_file(index: Index, row: int) -> np.ndarray:
        read["file", row] += 1
        return from_file(index, row)

    monkeypatch.setattr(RowStore, "read", counted_row)
    monkeypatch.setattr(RowStore, "read_each", counted_rows)
    monkeypatch.setattr(Index, "read_image", counted_file)
    shown = contents_of(run)
    assert any(still.pictures for still in shown.stills)
    stores = len(run.sources) + 1  # one detector has a ranker as well
    assert len(read) == stores * len(PATHS) + len(shown.pictures)
    assert set(read.values()) == {1}


def test_an_image_that_only_one_detector_has_is_shown_for_that_one(tmp_path: Path):
    run, helped = gallery_run(tmp_path), PATHS.index(HELPED)
    store = images_of(run, source=1).candidates
    store.write_block(0, [None if row == helped else store.read(row) for row in range(len(PATHS))])
    some, other = json.loads(contents_of(run).data)["detectors"]
    assert (some["images"][str(helped)] is None, other["images"][str(helped)] is None) == (False, True)
    assert {row for row, record in other["images"].items() if record is None} == {str(helped)}


def test_names_that_look_like_html_stay_text(run: Run):
    page = run.build()
    assert "<script><b" not in page.replace("\\u003c", "")
    elements = Elements(page)
    assert "onclick" not in {name for _, attributes in elements.tags for name in attributes}
    assert EVIL in [text.strip() for text in elements.parts]


def test_a_page_without_a_script_shows_pictures_with_every_boxs_meaning(run: Run, shown: Contents):
    (some, _) = shown.stills
    assert [PATHS[picture.row] for picture in some.pictures] == [HELPED, EVIL, HURT]
    before, after = some.pictures[0].sides
    assert [(one.kind, one.x) for one in before.rectangles] == [
        ("missed", 110),
        ("mistake", 200),
        ("hit", 10),
    ]
    assert [(one.kind, one.x) for one in after.rectangles] == [("hit", 110), ("hit", 10)]
    assert "1 of 2 found, 1 false" in Elements(run.build()).text


def test_pictures_are_reduced_and_boxes_stay_in_the_pixels_of_the_image(tmp_path: Path):
    wide = "e/wide.jpg"
    labels = {wide: [(10, 10, 60, 60, 0), (300, 10, 60, 60, 0)]}
    boxes = {wide: [(10, 10, 70, 70, 0.7, 0.1), (500, 10, 560, 70, 0.6, 0.05), (300, 10, 360, 70, 0.3, 0.9)]}
    shown = contents_of(report_run(tmp_path, labels=labels, candidates=boxes))
    (picture,) = shown.pictures.values()
    jpeg = base64.b64decode(picture.data_uri.removeprefix("data:image/jpeg;base64,"))
    pixels = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert pixels.shape == (80, 800, 3)
    assert (picture.height, picture.width) == WIDE
    record = json.loads(shown.data)["detectors"][0]["images"]["0"]
    assert [box[0] for box in record["boxes"]] == [10, 500, 300]


def test_an_image_deleted_since_does_not_stop_the_report(tmp_path: Path):
    run = gallery_run(tmp_path)
    run.index.image_path(PATHS.index(HELPED)).unlink()
    assert HELPED not in {picture.path for picture in contents_of(run).pictures.values()}


def test_where_nothing_changed_the_page_says_so(tmp_path: Path):
    labels = {"e/one.jpg": [(10, 10, 60, 60, 0)]}
    run = report_run(tmp_path, labels=labels, candidates={"e/one.jpg": [(10, 10, 70, 70, 0.7, 0.7)]})
    page = run.build()
    assert "No image changed." in page
    assert "gallery-app" not in page


def test_every_detector_is_in_the_page_once_there_are_several(run: Run):
    alone = dataclasses.replace(run, sources=run.sources[:1])
    assert len(json.loads(contents_of(alone).data)["detectors"]) == 1
