"""AP over resolution: what is measured at each height, what is stored, and the figure of the report."""

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest
from html_elements import Elements
from report_world import CANDIDATES, Run, commit_rows, report_run, store_rows

from pipeline.blocks.ledger import Ledger
from pipeline.blocks.store import CandidateStore
from pipeline.errors import UserError
from pipeline.evaluate.plan import EvaluationInput
from pipeline.evaluate.sources import Source
from pipeline.report.resolutions import resolution_figures
from pipeline.results.resolutions import (
    ResolutionRow,
    format_resolutions,
    read_resolutions,
    resolution_changes,
    resolution_notes,
    write_resolutions,
)
from pipeline.studies.resolutions import evaluate_resolutions, plan_resolutions
from pipeline.workspace.layout import CandidateKey

# At height 50 the detector finds no face but in the first image; at height 100 it finds what `CANDIDATES` says.
HEIGHTS_PX = (50, 100)
FOUND_AT_50 = {"e/plain.jpg": [(10, 10, 70, 70, 0.9)]}


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run whose images of 200 and 100 px were also seen at heights of 50 and 100 px, and evaluated there."""
    run = report_run(tmp_path_factory.mktemp("resolutions"), ranker="")
    evaluate_resolutions(_evaluation(run), HEIGHTS_PX)
    return run


def _evaluation(run: Run) -> EvaluationInput:
    sources = []
    for height in HEIGHTS_PX:
        key = CandidateKey("val", "some-detector", f"height-{height}", f"fingerprint{height}")
        found = FOUND_AT_50 if height == 50 else CANDIDATES
        rows = [
            np.array(found.get(row.path, []), np.float32).reshape(-1, 5 if height == 50 else 6)[:, :5]
            for row in run.index.rows(0, len(run.index))
        ]
        ledger = Ledger(run.workspace.candidates_ledger(key))
        if not ledger.read():
            commit_rows(
                ledger, run.index.row_digests, store_rows(CandidateStore, run.workspace.candidates(key), rows)
            )
        sources.append(Source(key=key, weights="c0ffee" * 10, input_size=f"height {height}"))
    return dataclasses.replace(run.evaluation, sources=sources)


def _row(rows: list[ResolutionRow], height: int, confidence: str, setting: str = "hard") -> ResolutionRow:
    (row,) = (
        row
        for row in rows
        if (row.height_px, row.confidence, row.setting, row.kind) == (height, confidence, setting, "official")
        and (row.confidence == "predicted" or row.candidates == "all")
    )
    return row


def test_every_height_has_predicted_and_oracle_ap_in_each_setting(measured: Run) -> None:
    rows = read_resolutions(measured.workspace)
    assert len(rows) == 2 * 3 * 3 * 2  # heights, confidences, settings, kinds
    assert {(row.height_px, row.protocol, row.input_size) for row in rows} == {
        (50, "height-50", "height 50"),
        (100, "height-100", "height 100"),
    }
    assert _row(rows, 100, "predicted").ap == pytest.approx(0.85, abs=1e-3)  # as at the original size
    assert _row(rows, 100, "oracle").ap == pytest.approx(1.0)
    # one of four faces, found with full precision
    assert _row(rows, 50, "oracle").ap == pytest.approx(0.25)


def test_face_heights_are_those_that_the_detector_sees(measured: Run) -> None:
    # 60 px faces: three in images of 200 px, and one in an image of 100 px; at most two count in one image
    rows = read_resolutions(measured.workspace)
    assert _row(rows, 100, "predicted").face_px == np.median([30, 30, 30, 60])
    assert _row(rows, 50, "predicted").face_px == np.median([15, 15, 15, 30])
    assert {row.most_faces for row in rows} == {2}
    assert {(row.images, row.faces) for row in rows} == {(4, 4)}


def test_measured_rows_are_not_measured_again_and_every_change_has_its_reason(measured: Run) -> None:
    evaluation = _evaluation(measured)
    parts = plan_resolutions(evaluation)
    assert resolution_changes(measured.workspace, "val", parts) == []
    other = evaluation.config.model_copy(update={"nms_iou": 0.3})
    changed = plan_resolutions(dataclasses.replace(evaluation, config=other))
    assert resolution_changes(measured.workspace, "val", changed) == ["evaluate.nms_iou: 0.4 -> 0.3"]
    fewer = plan_resolutions(dataclasses.replace(evaluation, sources=evaluation.sources[:1]))
    assert len(resolution_changes(measured.workspace, "val", fewer)) == 1
    assert resolution_changes(measured.workspace, "large", parts) == ["not computed yet"]


def test_rows_of_another_split_stay_and_a_damaged_table_is_a_sentence(tmp_path: Path) -> None:
    run = report_run(tmp_path, ranker="")
    assert read_resolutions(run.workspace) == []
    evaluation = _evaluation(run)
    ap = (run.workspace.results / "ap.parquet").read_bytes()
    evaluate_resolutions(evaluation, HEIGHTS_PX)
    assert (run.workspace.results / "ap.parquet").read_bytes() == ap
    parts = plan_resolutions(evaluation)
    row = dataclasses.replace(
        read_resolutions(run.workspace)[0], split="large", ap=math.nan, face_px=math.nan
    )
    write_resolutions(run.workspace, "large", [row], ["a note"], {"any": "parts"})
    assert len(read_resolutions(run.workspace, "val")) == 36
    (stored,) = read_resolutions(run.workspace, "large")
    assert math.isnan(stored.ap)
    assert math.isnan(stored.face_px)
    assert (resolution_notes(run.workspace, "large"), resolution_notes(run.workspace, "val")) == (
        ["a note"],
        [],
    )
    assert resolution_changes(run.workspace, "val", parts) == []

    run.workspace.resolutions.write_bytes(run.workspace.resolutions.read_bytes()[:-20])
    with pytest.raises(UserError, match=r"resolutions\.parquet are damaged"):
        read_resolutions(run.workspace)
    assert "damaged" in resolution_changes(run.workspace, "val", parts)[0]
    evaluate_resolutions(evaluation, HEIGHTS_PX)
    assert resolution_changes(run.workspace, "val", parts) == []
    assert {row.split for row in read_resolutions(run.workspace)} == {"val"}


def test_the_table_has_a_line_a_height_within_80_columns(measured: Run) -> None:
    lines = format_resolutions(read_resolutions(measured.workspace)).splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[-3].split() == [
        "height",
        "face",
        "predicted,",
        ">",
        "0.02",
        "oracle,",
        ">",
        "0.02",
        "oracle,",
        "all",
    ]
    assert lines[-2].split()[:2] == ["50", "15"]
    assert lines[-1].split()[:2] == ["100", "30"]
    assert lines[-1].endswith("100 / 100 / 100")
    assert format_resolutions([]) == ""


def test_the_report_has_the_figure_once_it_is_measured(tmp_path: Path) -> None:
    run = report_run(tmp_path, ranker="")
    assert "AP by resolution" not in run.build()
    evaluate_resolutions(_evaluation(run), HEIGHTS_PX)
    assert run.changes() != []
    elements = Elements(run.build())
    assert run.changes() == []
    assert "some-detector on val" in elements.text
    assert "50 15 " in elements.text
    (file,) = (run.workspace.report / "tables").glob("resolutions-*.csv")
    assert ",50,15," in file.read_text()
    labels = [str(a["aria-label"]) for tag, a in elements.tags if tag == "svg" and "aria-label" in a]
    assert [label for label in labels if "AP against" in label] == [
        f"{setting}: AP against image height, px" for setting in ("easy", "medium", "hard")
    ]


def test_single_faces_are_drawn_over_their_own_height(measured: Run) -> None:
    rows = [dataclasses.replace(row, most_faces=1) for row in read_resolutions(measured.workspace)]
    (figure,) = resolution_figures(rows)
    assert {chart.x_label for chart, _ in figure.figure.panels} == {"median face height, px"}
    assert [(height, face) for height, face, _ in figure.lines] == [("50", "15"), ("100", "30")]
    nothing = [dataclasses.replace(row, face_px=math.nan, ap=math.nan, most_faces=0) for row in rows]
    (empty,) = resolution_figures(nothing)
    assert all(path == "" for chart, _ in empty.figure.panels for _, _, path in chart.lines)
    assert resolution_figures([]) == []
