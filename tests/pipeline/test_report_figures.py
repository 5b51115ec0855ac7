"""The report's figures: drawn from stored numbers, the same bytes each time, none where nothing was measured."""

import dataclasses
import json
import math
import re
from pathlib import Path

import numpy as np
import pytest
from html_elements import Elements
from report_tables import compared_rows, sweep_figures, sweep_rows
from report_world import Run, commit_rows, refined_digests, report_run, store_rows

from pipeline.blocks.ledger import Ledger
from pipeline.blocks.store import ScoreStore
from pipeline.ground_truth.truth import load_ground_truth
from pipeline.report.chart_model import Figure, Series
from pipeline.report.charts import bar_chart, dot_chart, line_chart
from pipeline.report.confidences import sample
from pipeline.report.cost import cost_figure
from pipeline.report.curves import protocol_curves, zoomed_corner
from pipeline.report.face_heights import height_figure
from pipeline.report.palette import LOOKS, css, look, series_style
from pipeline.report.plots import figure_files
from pipeline.report.ticks import log_ticks
from pipeline.results.ablation import write_sweep
from pipeline.results.ablation_figures import write_sweep_figures
from pipeline.results.ap import read_ap, read_curves
from pipeline.results.protocol_curves import LineCurve, read_line_curves, write_line_curves
from pipeline.results.protocols import write_comparison


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    run = report_run(tmp_path_factory.mktemp("figures"))
    run.build()
    return run


def figure() -> Figure:
    line = Series("a", "ranked", np.array([0.0, 1.0]), np.array([0.0, 1.0]))
    chart = line_chart("costs $5 or $6", "x", "y", [line], (0.0, 1.0), (0.0, 1.0))
    return Figure("f", "F", [(chart, [("ranked", "a", "12.3")])])


def test_a_figure_is_the_same_bytes_each_time_and_without_a_date():
    files = figure_files([figure()])
    assert list(files) == ["figures/f.svg", "figures/f.pdf"]
    assert files == figure_files([figure()])
    assert b"<dc:date>" not in files["figures/f.svg"]
    assert b"CreationDate" not in files["figures/f.pdf"]


def test_every_figure_of_the_page_is_linked_and_every_link_is_a_file(run: Run):
    page = (run.workspace.report / "index.html").read_text()
    links = {
        str(attributes["href"])
        for tag, attributes in Elements(page).tags
        if tag == "a" and not str(attributes["href"]).startswith("#")
    }
    recorded = set(json.loads((run.workspace.report / "inputs.json").read_text())["files"])
    assert links == recorded - {"index.html"}
    assert all((run.workspace.report / name).stat().st_size > 100 for name in recorded)
    for kind in ("svg", "pdf"):
        assert f"figures/curves-1-some-detector.{kind}" in links
        assert f"figures/confidences-1-some-detector.{kind}" in links
        assert f"figures/face-heights.{kind}" in links


def test_a_damaged_figure_is_drawn_again(tmp_path: Path):
    run = report_run(tmp_path)
    run.build()
    file = run.workspace.report / "figures" / "curves-all.pdf"
    whole = file.read_bytes()
    file.unlink()
    assert run.changes() == ["figures/curves-all.pdf is missing"]
    run.build()
    assert file.read_bytes() == whole


def test_bars_are_the_stored_numbers_of_faces(run: Run):
    rows = read_ap(run.workspace)
    found = height_figure(rows)
    assert found is not None
    ((chart, _),) = found.panels
    assert [bar.name for bar in chart.bars] == ["40-80: 5"]
    assert height_figure([row for row in rows if row.setting == "hard"]) is None


def test_bars_stand_on_zero_and_are_as_high_as_their_values():
    chart = bar_chart("t", "x", "y", ["a", "b"], np.array([10.0, 5.0]), "predicted")
    first, second = chart.bars
    assert first.height == pytest.approx(2 * second.height, abs=0.2)
    assert first.y + first.height == pytest.approx(chart.bottom)


def test_dots_carry_the_number_of_their_series_and_their_interval():
    one, end = np.array([1.0]), np.array([math.nan])
    series = [
        Series("a", "predicted", one, np.array([0.5]), np.array([0.0]), np.array([1.0])),
        Series("b", "ranked", one, np.array([0.5]), end, end),
        Series("c", "ranked", one, np.array([math.nan])),
    ]
    chart = dot_chart("t", "x", "y", series, (0.0, 2.0), (0.0, 1.0))
    first, second = chart.dots
    assert ((first.low, first.high), first.label) == ((chart.bottom, chart.top), "1")
    assert (second.low == second.y == second.high, second.label) == (True, "2")


def test_ap_over_milliseconds_has_a_numbered_dot_for_each_protocol(run: Run):
    found = cost_figure(compared_rows(read_ap(run.workspace)))
    assert found is not None
    ((chart, legend),) = found.panels
    assert [name for _, name, _ in legend] == [
        "1 single", "2 single, rank", "3 multi", "4 8k", "5 8k, rank-8k"
    ]  # fmt: skip
    assert legend[2] == ("multi", "3 multi", "62.0 in 1,234 ms")
    assert [dot.label for dot in chart.dots] == list("12345")
    assert chart.dots[0].x < chart.dots[1].x < chart.dots[3].x < chart.dots[4].x < chart.dots[2].x
    assert cost_figure([]) is None


def test_compared_protocols_are_drawn_in_the_page(tmp_path: Path):
    run = report_run(tmp_path, ranker="")
    write_comparison(run.workspace, compared_rows(read_ap(run.workspace)), [], {})
    text = Elements(run.build()).text
    assert "3 multi 62.0 in 1,234 ms" in text
    assert "the same 3 of 4 images" in text


def test_the_curves_of_compared_protocols_are_drawn_for_each_detector_and_split(run: Run):
    official = [
        curve for curve in read_curves(run.workspace) if curve.kind == "official" and not curve.is_all
    ]
    lines = [("single", "predicted", "val"), ("single, rank", "ranked", "val"), ("8k", "predicted", "large")]
    curves = [
        LineCurve(
            **{field.name: getattr(curve, field.name) for field in dataclasses.fields(curve)}
            | {"split": split},
            line=line,
            ap=0.5,
        )
        for line, confidence, split in lines
        for curve in official
        if curve.confidence == confidence
    ]
    first, second = protocol_curves(curves)
    assert [name for _, name, _ in first.panels[2][1]] == ["single", "single, rank"]
    assert second.panels[0][1] == [("s0", "8k", "50.0")]
    assert second.title == "Precision and recall of some-detector on large"
    write_line_curves(run.workspace, curves)
    assert [curve.line for curve in read_line_curves(run.workspace)] == [curve.line for curve in curves]


def test_logarithmic_ticks_are_labelled_with_what_they_are_the_logarithm_of():
    assert log_ticks(1.0, 2.0) == [
        (1.0, "10"),
        (pytest.approx(math.log10(20)), "20"),
        (pytest.approx(math.log10(50)), "50"),
        (2.0, "100"),
    ]
    assert [label for _, label in log_ticks(0.5, 4.0)] == ["10", "100", "1,000", "10,000"]


def test_the_zoom_shows_where_every_curve_bends():
    recall = np.array([0.0, 0.5, 0.87, 1.0])
    good, bad = np.array([1.0, 0.95, 0.87, 0.1]), np.array([1.0, 0.62, 0.3, 0.1])
    assert zoomed_corner([(recall, good)]) == pytest.approx(0.8)
    assert zoomed_corner([(recall, good), (recall, bad)]) == pytest.approx(0.4)
    assert zoomed_corner([]) == 0.0
    assert zoomed_corner([(np.ones(2), np.ones(2))]) == 0.9


def test_confidences_are_those_of_the_candidates_above_the_threshold(run: Run):
    (source,) = run.sources
    found = sample(run.workspace, run.index, source, load_ground_truth(run.index), run.config.evaluate)
    assert (found.num_images, found.num_of) == (4, 4)
    assert [name for name, _ in found.tallies] == ["predicted", "ranked", "oracle"]
    counts = {name: tally.count for (name, _), tally in found.tallies.items()}
    # one of the eight candidates is below the threshold
    assert {name: int(count.sum()) for name, count in counts.items()} == dict.fromkeys(counts, 7)
    assert counts["predicted"][[12, 20, 24, 26, 28, 32, 36]].sum() == 7  # .3 .5 .6 .65 .7 .8 .9
    assert counts["oracle"][[0, -1]].tolist() == [2, 5]


def test_an_ablations_figures_have_a_line_for_each_setting(tmp_path: Path):
    run = report_run(tmp_path)
    write_sweep(run.workspace, "losses", sweep_rows(), "a table")
    assert "Losses and pairs as curves" not in run.build()
    write_sweep_figures(run.workspace, "losses", sweep_figures())
    assert any("ablation-losses-figures" in change for change in run.changes())
    text = Elements(run.build()).text
    assert "Precision and recall of some-detector with each loss" in text
    assert "predicted 70.0 Rank 72.0" in text  # AP hard of the first seed, which is the one that is drawn
    assert "predicted tau 0.100 oracle Rank tau 0.300" in text
    names = [path.name for path in (run.workspace.report / "figures").glob("ablation-*.pdf")]
    assert sorted(names) == [
        "ablation-losses-confidences-1-some-detector.pdf",
        "ablation-losses-curves-1-some-detector.pdf",
    ]


def test_another_ranker_of_the_same_candidates_joins_by_its_loss_and_asks_for_a_new_page(tmp_path: Path):
    run = report_run(tmp_path)
    run.build()
    other, key = "fedcba9876543210", run.sources[0].key
    rows = [np.linspace(1, 0, count, dtype=np.float32) for count in (3, 1, 1, 3)]
    sizes = store_rows(ScoreStore, run.workspace.scores(key, other), rows)
    commit_rows(Ledger(run.workspace.scores_ledger(key, other)), refined_digests(run.index), sizes)
    folder = run.workspace.ranker(other)
    folder.mkdir(parents=True)
    (folder / "config.toml").write_text('[train]\nloss = "l2"\n')
    assert any("other rankers" in change for change in run.changes())
    assert re.search(r"l2 \(fedcba\) tau ", Elements(run.build()).text)
    (folder / "config.toml").write_text("no TOML")
    assert "ranker (fedcba)" in Elements(run.build()).text


def test_every_look_has_its_rules_and_many_lines_are_told_apart():
    rules = css()
    for name, found in LOOKS.items():
        assert f".line.{name} {{ stroke: var(--{name})" in rules
        assert rules.count(f"--{name}: {found.light};") == 2  # on the screen and in print
    looks = [look(series_style(number)) for number in range(18)]
    assert len({(item.light, item.dash) for item in looks}) == 18


def contrast(one: str, other: str) -> float:
    """Of WCAG 2, between two colours `#rrggbb`."""

    def luminance(color: str) -> float:
        parts = [int(color[place : place + 2], 16) / 255 for place in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_lines_stand_out_from_both_grounds():
    for name, found in LOOKS.items():
        if name != "faint":  # beside its own mean, and not needed to read the chart
            assert contrast(found.light, "#ffffff") >= 3, name
            assert contrast(found.dark, "#15171a") >= 3, name
