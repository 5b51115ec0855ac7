"""The report's tables: the same numbers in the page, as CSV and as LaTeX, and the paper's apart from one's own."""

import csv
import dataclasses
from pathlib import Path

import pytest
from html_elements import Elements
from report_tables import SETTINGS, compared_rows, sweep_rows
from report_world import Run, report_run

from pipeline.report.grid import Grid, Group, Row, Span, as_csv, as_tex, with_strongest
from pipeline.report.measured import Measured
from pipeline.report.paper_tables import missing_tables, paper_tables
from pipeline.results.ablation import read_sweep, write_sweep
from pipeline.results.ap import read_ap
from pipeline.results.protocols import write_comparison
from pipeline.workspace.layout import Workspace
from pipeline.workspace.tables import as_json


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run with an ablation and compared protocols."""
    run = report_run(tmp_path_factory.mktemp("tables"))
    write_sweep(run.workspace, "losses", sweep_rows(), "a table")
    write_comparison(run.workspace, compared_rows(read_ap(run.workspace)), [], {})
    run.build("Some faces")
    return run


def table(run: Run, name: str) -> list[list[str]]:
    return list(csv.reader((run.workspace.report / "tables" / f"{name}.csv").read_text().splitlines()))


def test_the_ap_table_has_every_stored_number_in_page_csv_and_latex(run: Run):
    rows = read_ap(run.workspace)
    text = Elements((run.workspace.report / "index.html").read_text()).text
    header, *lines = table(run, "ap")
    tex = (run.workspace.report / "tables" / "ap.tex").read_text()
    stored = {
        (row.confidence, row.candidates, row.setting + (" exact" if row.kind == "exact" else "")): row.ap
        for row in rows
        if row.setting in SETTINGS
    }
    assert len(stored) == 4 * 6
    for (confidence, candidates, column), ap in stored.items():
        (line,) = [line for line in lines if line[2:4] == [confidence, candidates]]
        assert line[header.index(column)] == f"{100 * ap:.1f}"
        assert f"{100 * ap:.1f}" in text
    for line in lines[:4]:
        assert " & ".join(line[1:]).replace(">", "$>$") + r" \\" in tex
    assert {line[0] for line in lines} == {"Some faces, val, 4 images"}


def test_an_ablation_fills_table_1_with_means_and_spreads_apart_from_the_papers_rows(run: Run):
    assert [as_json(row) for row in read_sweep(run.workspace, "losses")] == [
        as_json(row) for row in sweep_rows()
    ]
    header, *lines = table(run, "table-1-losses")
    own = [line for line in lines if line[0] == "this run: some-detector on Some faces, val, 4 images"]
    assert header == ["measured on", "Loss", "Easy", "Med", "Hard"]
    assert [line[1:] for line in own] == [
        ["Baseline", "90.0", "80.0", "70.0"],
        ["Rank", "90.0 ±0.0", "80.0 ±0.0", "73.0 ±1.4"],
        ["L2", "90.0", "80.0", "–"],  # noqa: RUF001 - diverged
        ["Oracle", "90.0", "80.0", "95.0"],
    ]
    assert ["paper: HRNet on WIDER FACE validation", "Rank", "96.9", "96.2", "92.7"] in lines
    tex = (run.workspace.report / "tables" / "table-1-losses.tex").read_text()
    assert (
        r"\textbf{Rank} & \textbf{90.0 $\pm$0.0} & \textbf{80.0 $\pm$0.0} & \textbf{73.0 $\pm$1.4} \\" in tex
    )


def test_compared_protocols_fill_tables_3_and_4_in_the_papers_layout(run: Run):
    _, *lines = table(run, "table-3-scales")
    own = [line for line in lines if line[0].startswith("this run")]
    assert own[0][0] == "this run: Some faces, val, the same 3 of 4 images; cpu, 1 thread"
    assert [line[1:] for line in own] == [
        ["some-detector", "single", "60.0", "60.0", "60.0", "80.0"],
        ["some-detector", "multi", "62.0", "62.0", "62.0", "1,234"],
        ["some-detector", "rank", "61.0", "61.0", "61.0", "90.0"],
    ]
    _, *lines = table(run, "table-4-8k")
    assert [line[1:] for line in lines if line[0].startswith("this run")] == [
        ["some-detector", "single", "63.0", "700"],
        ["some-detector", "rank 8k", "64.0", "710"],
    ]
    assert lines[-1] == ["paper: its 8K test set; GPU", "HRNet (ours)", "rank 8k", "42.5", "1263"]


def test_compared_protocols_are_a_file_as_they_are_in_the_page(run: Run):
    header, *lines = table(run, "protocols")
    assert header == ["measured on", "protocol, ranker", "easy", "medium", "hard", "ms an image"]
    names = [line[1] for line in lines if not line[1].endswith(", oracle")]
    assert names == ["single", "single, rank", "multi", "8k", "8k, rank-8k"]
    assert [line[-1] for line in lines if line[1] == "multi"] == ["1,234"]
    assert [line[2:] for line in lines if line[1] == "8k, oracle"] == [["90.0", "90.0", "90.0", "-"]]
    text = Elements((run.workspace.report / "index.html").read_text()).text
    assert all(" ".join(line[1:]) in text for line in lines)


def test_large_images_on_a_split_of_their_own_have_a_table_of_their_own(run: Run):
    rows = compared_rows(read_ap(run.workspace))
    large = [dataclasses.replace(row, split="8k", images=4) for row in rows if row.protocol == "8k"]
    small = [
        dataclasses.replace(row, split="8k", protocol="long-1024", line="long-1024", images=4)
        for row in rows
        if row.line == "single"
    ]
    usual = [row for row in rows if row.protocol != "8k"]
    measured = Measured("here", "val", "4 images", False, (), [*usual, *small, *large], {})
    scales, table_4 = paper_tables(measured)
    assert [row.cells[1] for row in scales.groups[0].rows] == ["single", "multi", "rank"]
    assert table_4.name == "table-4-8k-8k"
    assert table_4.groups[0].label == "this run: here, 8k, 4 images, 8k; cpu, 1 thread"
    assert [row.cells for row in table_4.groups[0].rows] == [
        ("some-detector", "long-1024", "60.0", "80.0"),
        ("some-detector", "single", "63.0", "700"),
        ("some-detector", "rank 8k", "64.0", "710"),
    ]


def test_a_table_without_measurements_is_left_out_and_its_command_is_named(run: Run):
    measured = Measured("here", "val", "4 images", False, read_ap(run.workspace), (), {})
    assert [grid.name for grid in paper_tables(measured)] == ["table-3-scales", "table-5-external"]
    commands = " ".join(missing_tables(measured))
    for command in ("crface ablate losses", "crface ablate pairs", "crface evaluate-protocols"):
        assert command in commands
    assert paper_tables(Measured("here", "val", "4 images", False, (), (), {})) == []


def test_tables_of_an_earlier_report_that_are_not_made_any_more_are_removed(tmp_path: Path):
    run = report_run(tmp_path)
    write_sweep(run.workspace, "losses", sweep_rows(), "a table")
    run.build()
    file = run.workspace.report / "tables" / "table-1-losses.csv"
    assert file.is_file()
    (run.workspace.results / "ablation-losses.parquet").unlink()
    assert any("ablation-losses" in change for change in run.changes())
    run.build()
    assert not file.exists()


def test_what_latex_gives_a_meaning_to_is_escaped_and_csv_quotes_what_it_must():
    grid = Grid(
        "t",
        "50 % of a_b",
        ("name", "n"),
        1,
        [Group("C:\\data & co", [Row(('x, "y" #1', "–"))])],  # noqa: RUF001
        Span("AP (%)", 1, 1),
        ["A ~ B"],
    )
    tex = as_tex(grid)
    assert r"50 \% of a\_b. A \textasciitilde{} B." in tex
    assert r"C:\textbackslash{}data \& co" in tex
    assert r'x, "y" \#1 & -- \\' in tex
    assert r"\cmidrule(lr){2-2}" in tex
    rows = list(csv.reader(as_csv(grid).splitlines()))
    assert rows[1] == ["C:\\data & co", 'x, "y" #1', "–"]  # noqa: RUF001


def test_the_highest_number_of_a_column_is_strong_and_a_dash_never_is():
    rows = with_strongest([("a", "9.5 ±0.1"), ("b", "10.2"), ("c", "–"), ("d", "10.2")], 1)  # noqa: RUF001
    assert [row.is_strong for row in rows] == [False, True, False, True]
    assert not with_strongest([("a", "–")], 1)[0].is_strong  # noqa: RUF001


def test_a_nested_table_is_read_as_it_was_written(tmp_path: Path):
    workspace = Workspace(tmp_path)
    assert read_sweep(workspace, "pairs") == []
    write_sweep(workspace, "pairs", sweep_rows()[:1], "")
    assert read_sweep(workspace, "pairs") == sweep_rows()[:1]
