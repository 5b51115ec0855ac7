"""Exported detections: the same as those that are evaluated, and read back from every format as they were."""

import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest
from cache_job import DETECTOR
from evaluation_world import CANDIDATES, FACES, NOWHERE, RANKED_SOURCE, REFINED, SOURCE, A, B, C, Run, rows
from wider_folder import Picture, write_data_set

from pipeline.cache.plan import plan_cache
from pipeline.cache.work import cache_block, finish_cache, prepare_cache
from pipeline.config.sections import EvaluateConfig
from pipeline.config.toml import load_config
from pipeline.dataset.index import update_index
from pipeline.errors import UserError
from pipeline.evaluate.detections import PREDICTED, RANKED, image_detections, stored_detections
from pipeline.export import (
    ImageDetections,
    read_detections,
    write_coco,
    write_fiftyone,
    write_parquet,
    write_text,
)
from pipeline.formats.widerface_text import find_results, read_results
from pipeline.workspace.layout import Workspace
from workflows.cli.main import main

CONFIG = EvaluateConfig()
NAMES = ("event/1", "event/2", "event/3")


@pytest.fixture
def run(tmp_path: Path) -> Run:
    made = Run(tmp_path).data(Picture("event", "1", FACES), Picture("event", "2"), Picture("event", "3"))
    made.candidates(rows(*CANDIDATES, (1, 0, 61, 60, 0.7)), rows(), None)
    return made.scores(np.array([*REFINED, 0.95], np.float32), np.zeros(0, np.float32), None)


def predicted(run: Run) -> list[ImageDetections]:
    return list(read_detections(run.workspace, run.index, SOURCE, CONFIG))


def test_predicted_and_ranked_detections_are_those_after_nms_above_the_threshold(run: Run) -> None:
    found = predicted(run)
    assert [image.path for image in found] == ["event/1.jpg", "event/2.jpg"]  # the third could not be read
    assert [(image.width, image.height) for image in found] == [(260, 60), (32, 24)]
    assert found[0].rows == pytest.approx(rows((*A, 0.9), (*NOWHERE, 0.8), (*B, 0.1)))  # C is below 0.02
    ranked = list(read_detections(run.workspace, run.index, RANKED_SOURCE, CONFIG))
    assert ranked[0].rows == pytest.approx(rows((1, 0, 61, 60, 0.95), (*B, 0.8), (*NOWHERE, 0.3)))
    assert C not in map(tuple, ranked[0].rows[:, :4].tolist())


def test_exported_detections_are_those_that_are_evaluated() -> None:
    generator = np.random.default_rng(0)
    corners = generator.uniform(0, 100, (300, 2))
    candidates = np.column_stack([corners, corners + 30, np.sort(generator.random(300))[::-1]]).astype(
        np.float32
    )
    refined = generator.random(300).astype(np.float32)
    evaluated = image_detections(candidates, refined, np.zeros((0, 4)), CONFIG)
    assert (stored_detections(candidates, None, CONFIG) == evaluated[PREDICTED]).all()
    assert (stored_detections(candidates, refined, CONFIG) == evaluated[RANKED]).all()


def test_wider_face_text_is_read_back_with_every_image(run: Run, tmp_path: Path) -> None:
    write_text(tmp_path / "text", predicted(run), {})
    found = read_results(find_results(tmp_path / "text", NAMES))
    assert found.detections["event/1"] == pytest.approx(
        np.array([[0, 0, 60, 60, 0.9], [500, 500, 60, 60, 0.8], [100, 0, 60, 60, 0.1]])
    )
    assert found.detections["event/2"].shape == (0, 5)


def test_coco_json_is_a_list_that_names_images_by_path_and_keeps_every_float(
    run: Run, tmp_path: Path
) -> None:
    images = predicted(run)
    write_coco(tmp_path / "coco.json", images, {})
    items = json.loads((tmp_path / "coco.json").read_text())
    assert {item["image_id"] for item in items} == {"event/1.jpg"}
    assert {item["category_id"] for item in items} == {1}
    read = [(x, y, x + w, y + h, item["score"]) for item in items for x, y, w, h in [item["bbox"]]]
    assert (np.array(read, np.float32) == images[0].rows).all()


def test_coco_json_is_what_pycocotools_reads(
    run: Run, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    from pycocotools.coco import COCO

    write_coco(tmp_path / "coco.json", predicted(run), {})
    truth = COCO()
    truth.dataset = {"images": [{"id": "event/1.jpg"}], "annotations": [], "categories": [{"id": 1}]}
    truth.createIndex()
    assert len(truth.loadRes(str(tmp_path / "coco.json")).anns) == 3


def test_parquet_has_one_row_an_image_and_says_where_it_is_from(run: Run, tmp_path: Path) -> None:
    images = predicted(run)
    write_parquet(tmp_path / "out.parquet", images, {"detector": "pretended"})
    table = pq.read_table(tmp_path / "out.parquet")
    assert table.schema.metadata[b"detector"] == b"pretended"
    read = table.to_pylist()
    assert [row["path"] for row in read] == ["event/1.jpg", "event/2.jpg"]
    for row, image in zip(read, images, strict=True):
        columns = [row[name] for name in ("x1", "y1", "x2", "y2", "score")]
        assert (np.array(columns, np.float32).T.reshape(-1, 5) == image.rows).all()


def test_labels_for_fiftyone_name_images_without_suffix_and_have_boxes_as_shares_of_the_image(
    run: Run, tmp_path: Path
) -> None:
    images = predicted(run)
    write_fiftyone(tmp_path / "labels.json", images, {"detector": "pretended"})
    found = json.loads((tmp_path / "labels.json").read_text())
    assert found["classes"] == ["face"]
    assert found["about"] == {"detector": "pretended"}
    assert list(found["labels"]) == ["event/1", "event/2"]  # one without detections is there as well
    assert found["labels"]["event/2"] == []
    first, *_ = found["labels"]["event/1"]  # A, 60 x 60 px at the corner of 260 x 60 px
    assert first == {
        "label": "face",
        "bounding_box": pytest.approx([0, 0, 60 / 260, 1]),
        "confidence": pytest.approx(0.9),
    }
    read = [
        (260 * x, 60 * y, 260 * (x + w), 60 * (y + h), one["confidence"])
        for one in found["labels"]["event/1"]
        for x, y, w, h in [one["bounding_box"]]
    ]
    assert np.array(read) == pytest.approx(images[0].rows)


def test_text_is_not_written_with_boxes_that_its_reader_refuses(tmp_path: Path) -> None:
    images = [ImageDetections(path="event/1.jpg", width=9, height=9, rows=rows((5, 5, 4, 9, 0.5)))]
    with pytest.raises(UserError, match=r"the image event/1 has a box of negative size"):
        write_text(tmp_path / "text", images, {})


@pytest.mark.parametrize("write", [write_text, write_fiftyone])
def test_where_images_are_named_without_suffix_two_of_one_name_are_refused(
    tmp_path: Path, write: Callable[..., None]
) -> None:
    images = [
        ImageDetections(path=path, width=9, height=9, rows=rows()) for path in ("event/1.jpg", "event/1.png")
    ]
    with pytest.raises(UserError, match="two images have the name event/1 but for the suffix"):
        write(tmp_path / "written", images, {})


# ------------------------------------------------------------------------------------------------ the command


@pytest.fixture
def command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """`crface export-detections` on a workspace with a cache of two images."""
    data = write_data_set(tmp_path / "data", [Picture("event", "1", FACES), Picture("event", "2")])
    for stem in ("1", "2"):  # what the pretended detector answers is its colour: four candidates
        path = data / "WIDER_val" / "images" / "event" / f"{stem}.jpg"
        assert cv2.imwrite(str(path), np.full((24, 32, 3), (0, 0, 4), np.uint8))
    workspace = Workspace(tmp_path / "run")
    plan = plan_cache(
        workspace, update_index(workspace, data, "val").index, DETECTOR, load_config("demo").cache
    )
    prepare_cache(plan)
    for block in plan.blocks:
        assert cache_block(plan.spec, block).errors == ()
    finish_cache(plan)

    def export(*options: str | Path) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main(["export-detections", *map(str, options), "--out", str(tmp_path / "run")])
        printed = capsys.readouterr()
        assert isinstance(ended.value.code, int)
        return ended.value.code, printed.out, printed.err

    return export


@pytest.mark.parametrize("form", ["widerface", "coco", "parquet", "fiftyone"])
def test_the_command_writes_each_format_and_says_what_it_wrote(
    command: Callable[..., tuple[int, str, str]], tmp_path: Path, form: str
) -> None:
    status, output, errors = command(tmp_path / "written", "--format", form, "--detector", DETECTOR)
    assert status == 0, errors
    assert "detections of 2 images" in output
    assert "fake_detector:ENTRY on val, single, predicted confidence, NMS 0.4, score > 0.02" in output
    if form == "widerface":
        found = read_results(find_results(tmp_path / "written", NAMES))
        assert set(found.detections) == {"event/1", "event/2"}
        assert len(found.detections["event/1"]) > 0
    elif form == "coco":
        items = json.loads((tmp_path / "written").read_text())
        assert {item["image_id"] for item in items} <= {"event/1.jpg", "event/2.jpg"}
    elif form == "fiftyone":
        assert json.loads((tmp_path / "written").read_text())["about"]["detector"] == DETECTOR
    else:
        assert pq.read_table(tmp_path / "written").schema.metadata[b"detector"] == DETECTOR.encode()


def test_the_command_refuses_two_detectors_and_ranked_without_a_ranker(
    command: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    two = f"{DETECTOR} fake_detector:NEWER"
    status, _, errors = command(tmp_path / "x", "--detector", two)
    assert (status, "one detector is exported at a time" in errors) == (2, True)
    status, _, errors = command(tmp_path / "x", "--detector", DETECTOR, "--confidence", "ranked")
    assert (status, "crface rank" in errors) == (1, True)
    assert not (tmp_path / "x").exists()
