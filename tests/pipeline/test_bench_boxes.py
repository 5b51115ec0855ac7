"""`crface bench boxes`: every way keeps the same boxes, and the table says what was measured."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from pipeline.bench.boxes import OWN, PLAIN_VOTING, VOTING, bench_boxes, made_up_boxes
from pipeline.bench.plain_boxes import plain_nms, plain_voting
from workflows.cli.main import cli


def test_every_way_keeps_the_same_boxes_and_has_its_line(tmp_path: Path) -> None:
    threads = torch.get_num_threads()
    file = tmp_path / "boxes.json"
    options = ["--boxes", "40", "--boxes", "300", "--repeats", "2", "--json", str(file)]
    result = CliRunner().invoke(cli, ["bench", "boxes", *options], catch_exceptions=False)
    found = json.loads(file.read_text())
    assert [bench["num_boxes"] for bench in found["boxes"]] == [40, 300]
    for bench in found["boxes"]:
        assert {OWN, VOTING, PLAIN_VOTING, "cv2.dnn.NMSBoxes", "numpy loop"} <= set(bench["ways"])
        assert set(bench["differing"].values()) == {0}
        assert bench["voting_error"] < 1e-4
        assert 1 < bench["num_kept"] < bench["num_boxes"] / 2
        for times in bench["ways"].values():
            assert len(times["seconds"]) == len(times["cpu_seconds"]) == 2
    lines = result.output.splitlines()
    assert max(map(len, lines)) <= 80
    assert sum(line.startswith("torchvision") for line in lines) == 2  # with a figure, or why there is none
    assert torch.get_num_threads() == threads


def test_the_plain_loops_are_right_by_hand() -> None:
    boxes = np.array([[0, 0, 10, 10], [0, 0, 10, 8], [20, 0, 30, 10]], np.float32)
    scores = np.array([0.5, 0.5, 0.9], np.float32)
    assert plain_nms(boxes, scores, 0.8).tolist() == [
        2,
        0,
        1,
    ]  # an IoU of exactly the threshold suppresses none
    assert plain_nms(boxes, scores, 0.7).tolist() == [2, 0]
    assert plain_voting(boxes, scores, 0.7)[1].tolist() == [0, 0, 10, 9, 0.5]
    assert plain_voting(boxes[:0], scores[:0], 0.7).shape == (0, 5)


def test_a_difference_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.bench.boxes.plain_nms", lambda boxes, scores, iou: np.arange(1))
    (bench,) = bench_boxes([30], repeats=1)
    assert bench.differing["numpy loop"] >= bench.num_kept - 1 > 0


def test_made_up_boxes_are_crowded_and_the_same_every_time() -> None:
    rows = made_up_boxes(1000)
    assert np.array_equal(rows, made_up_boxes(1000))
    assert (rows[:, 2:4] > rows[:, :2]).all()
    assert len(plain_nms(rows[:, :4], rows[:, 4], 0.4)) < 300
