"""Predictions side by side: what one scale, several scales and the ranker find in the same images."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from html_elements import Elements
from report_tables import compared_rows
from report_world import RANKER, Run, report_run, store_rows

from pipeline.blocks.store import CandidateStore
from pipeline.report.side_by_side import SideBySide, side_by_side
from pipeline.results.ap import read_ap
from pipeline.results.protocols import ComparisonRow, write_comparison
from pipeline.workspace.layout import CandidateKey

MULTI = CandidateKey("val", "some-detector", "multi", "beef")


def compared(run: Run) -> list[ComparisonRow]:
    """Single, rank and multi of all images; multi finds the second face of the first image and nothing else."""
    boxes = [np.array([[110, 10, 170, 70, 0.7]], np.float32), *[np.zeros((0, 5), np.float32)] * 3]
    store_rows(CandidateStore, run.workspace.candidates(MULTI), boxes)
    kinds = {"single": ("feed", ""), "single, rank": ("feed", RANKER), "multi": ("beef", "")}
    return [
        dataclasses.replace(row, images=4, fingerprint=kinds[row.line][0], ranker=kinds[row.line][1])
        for row in compared_rows(read_ap(run.workspace))
        if row.line in kinds
    ]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    run = report_run(tmp_path_factory.mktemp("sides"))
    write_comparison(run.workspace, compared(run), [], {})
    return run


def shown(run: Run, rows: list[ComparisonRow]) -> list[SideBySide]:
    return side_by_side(run.workspace, rows, run.config.evaluate, run.index.data_root, None)


def test_each_view_has_its_boxes_above_half_and_what_they_hit(run: Run):
    (found,) = shown(run, compared(run))
    assert (found.title, found.num_seen) == ("some-detector on val", 4)
    first = found.sights[0]
    assert (first.path, first.num_faces) == ("e/plain.jpg", 2)
    views = {view.name: (view.num_found, view.is_hit.tolist()) for view in first.views}
    assert views == {
        "single": (1, [True, False]),
        "multi": (1, [True]),
        "single, rank": (2, [True, True]),
    }


def test_the_page_and_its_files_have_them(run: Run):
    text = Elements(run.build()).text
    assert "single : 1 of 2 found, 1 false" in text
    assert "single, rank : 2 of 2 found, 0 false" in text
    assert "The 3 images of 4 where they differ most" in text
    for kind in ("svg", "pdf"):
        name = f"side-by-side-1-some-detector-on-val.{kind}"
        assert (run.workspace.report / "figures" / name).stat().st_size > 1000


def test_without_several_scales_or_without_the_images_there_is_nothing_to_show(run: Run, tmp_path: Path):
    rows = compared(run)
    assert shown(run, [row for row in rows if row.line != "multi"]) == []
    assert shown(run, []) == []
    of_a_subset = [dataclasses.replace(row, images=3) for row in rows]
    assert shown(run, of_a_subset) == []  # its index is not there any more
    other = report_run(tmp_path)
    rows = compared(other)
    for row in range(4):
        other.index.image_path(row).unlink()
    assert shown(other, rows) == []
