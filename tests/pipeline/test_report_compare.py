"""The comparison of workspaces: every run's own numbers, side by side only where the data are the same."""

import csv
import dataclasses
import shutil
from pathlib import Path

import pytest
from html_elements import Elements
from report_tables import compared_rows
from report_world import Run, report_run

from pipeline.errors import UsageError, UserError
from pipeline.report.compare import build_comparison, compare_changes, compare_folder, plan_compare
from pipeline.report.curves import MOST_RUNS, runs_curves
from pipeline.report.runs import NamedRun, named_runs
from pipeline.results.ap import ap_table, curve_table, read_ap, read_curves
from pipeline.results.protocols import write_comparison
from pipeline.workspace.layout import Workspace

OTHER_RANKER = "fedcba9876543210"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return report_run(tmp_path_factory.mktemp("compare"))


@pytest.fixture(scope="module")
def other(run: Run) -> Workspace:
    """The same run with another ranker, whose AP is three quarters of the first's, and with compared protocols."""
    workspace = Workspace(run.workspace.root.parent / "other")
    shutil.copytree(run.workspace.root, workspace.root)
    rows = [
        dataclasses.replace(row, ap=0.75 * row.ap, ranker=OTHER_RANKER) if row.confidence == "ranked" else row
        for row in read_ap(run.workspace)
    ]
    ap_table(workspace).write(rows)
    curves = [
        dataclasses.replace(row, precision=0.75 * row.precision, ranker=OTHER_RANKER)
        if row.confidence == "ranked"
        else row
        for row in read_curves(run.workspace)
    ]
    curve_table(workspace).write(curves)
    write_comparison(workspace, compared_rows(rows), [], {})
    return workspace


@pytest.fixture(scope="module")
def folder(run: Run, other: Workspace) -> Path:
    runs = named_runs([run.workspace, other])
    page = build_comparison(runs, compare_folder(run.workspace))
    assert isinstance(page, Path)
    return page.parent


def table(folder: Path, name: str) -> list[list[str]]:
    return list(csv.reader((folder / "tables" / f"{name}.csv").read_text().splitlines()))


def test_the_table_has_the_stored_numbers_of_every_run(run: Run, other: Workspace, folder: Path):
    header, *lines = table(folder, "compare-ap")
    for name, workspace in (("run", run.workspace), ("other", other)):
        stored = {
            (row.confidence, row.setting): row
            for row in read_ap(workspace)
            if row.kind == "official" and row.is_all == (row.confidence == "oracle")
        }
        own = {line[3]: line for line in lines if line[1:3] == [name, "some-detector"]}
        assert list(own) == ["predicted", "ranked", "oracle"]
        for confidence, line in own.items():
            ap = [f"{100 * stored[confidence, setting].ap:.1f}" for setting in ("easy", "medium", "hard")]
            assert line[4:7] == ap
        ranked = stored["ranked", "hard"]
        assert own["ranked"][7] == f"{100 * ranked.gain:+.1f}"
        assert own["ranked"][9] == ("yes" if ranked.is_gain_real else "no")
    assert len({line[0] for line in lines}) == 1
    assert header[:4] == ["measured on", "Run", "Detector", "Confidence"]


def test_the_page_has_a_sentence_for_each_run_and_its_curves_in_one_chart(folder: Path):
    elements = Elements((folder / "index.html").read_text())
    assert "Comparison of run, other" in elements.text
    assert "all on the same images and ground truth" in elements.text
    assert elements.text.count("AP hard went from 85.0 to") == 2
    lines = [str(a["class"]) for tag, a in elements.tags if tag == "path" and "line" in str(a.get("class"))]
    assert lines == ["line s5 dashed", "line s0", "line s1"] * 3
    assert [line[1:4] for line in table(folder, "compare-protocols")[1:]][2] == [
        "other", "some-detector", "multi"
    ]  # fmt: skip


def test_every_link_of_the_page_is_a_file_or_a_place_in_it(folder: Path):
    tags = Elements((folder / "index.html").read_text()).tags
    places = {attributes.get("id") for _, attributes in tags}
    for _, attributes in (item for item in tags if item[0] == "a"):
        link = str(attributes["href"])
        assert link[1:] in places if link.startswith("#") else (folder / link).is_file()


def test_an_unchanged_comparison_is_current_until_a_result_changes(run: Run, other: Workspace, folder: Path):
    runs = named_runs([run.workspace, other])
    assert compare_changes(folder, plan_compare(runs)) == []
    assert compare_changes(folder, plan_compare(runs[:1])) != []
    renamed = [runs[0], NamedRun("third", other)]
    assert any("third" in change for change in compare_changes(folder, plan_compare(renamed)))


def test_runs_of_other_data_share_neither_a_group_of_rows_nor_a_chart(run: Run, tmp_path: Path):
    elsewhere = Workspace(tmp_path / "elsewhere")
    shutil.copytree(run.workspace.root, elsewhere.root)
    ap_table(elsewhere).write(
        [dataclasses.replace(r, ground_truth="ab" * 32) for r in read_ap(run.workspace)]
    )
    page = build_comparison(named_runs([run.workspace, elsewhere]), tmp_path / "page")
    assert isinstance(page, Path)
    assert len({line[0] for line in table(page.parent, "compare-ap")[1:]}) == 2
    assert "they are not all of the same images" in Elements(page.read_text()).text
    assert len(list((page.parent / "figures").glob("*.svg"))) == 2


def test_runs_are_named_by_their_folders_as_far_as_that_tells_them_apart():
    def names(*roots: str) -> list[str]:
        return [run.name for run in named_runs([Workspace(Path(root)) for root in roots])]

    assert names("/runs/a", "/runs/b") == ["a", "b"]
    assert names("/one/run", "/two/run") == ["one/run", "two/run"]
    with pytest.raises(UsageError, match="at least two workspaces, and 1 is given"):
        names("/runs/a")
    with pytest.raises(UsageError, match="/runs/a is given twice"):
        names("/runs/a", "/runs/b", "/runs/a")


def test_more_runs_than_can_be_told_apart_are_not_drawn_and_that_is_said(run: Run):
    curves = read_curves(run.workspace)
    many = [(f"run {number}", [], curves) for number in range(MOST_RUNS + 2)]
    figure = runs_curves("f", "F", many)
    assert len(figure.panels[0][1]) == MOST_RUNS + 1  # and predicted, which they share
    assert f"Only the first {MOST_RUNS} of {MOST_RUNS + 2} runs" in figure.caption


def test_a_damaged_run_is_named_and_nothing_is_written(run: Run, tmp_path: Path):
    damaged = Workspace(tmp_path / "damaged")
    shutil.copytree(run.workspace.results, damaged.results)
    (damaged.results / "pr_curves.parquet").write_bytes(b"PAR1")
    with pytest.raises(UserError, match=r"pr_curves\.parquet are damaged"):
        build_comparison(named_runs([run.workspace, damaged]), tmp_path / "page")
    assert not (tmp_path / "page").exists()
