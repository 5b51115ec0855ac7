"""Tables 1 to 5 of the paper in its layout: one's own rows, and apart from them the paper's.

The paper's rows were measured on other data unless one's own is WIDER FACE: every group of rows says on what.
"""

from collections.abc import Mapping, Sequence

from pipeline.ground_truth.truth import SETTINGS
from pipeline.report.grid import Grid, Group, Row, Span, with_strongest
from pipeline.report.measured import Measured
from pipeline.report.paper_protocols import large_tables, scales_table
from pipeline.report.tables import NONE
from pipeline.results.ablation import SweepRow, mean_and_spread
from pipeline.results.paper import (
    BASELINE,
    EXTERNAL,
    LOSSES,
    PAIRS,
    WIDER_VAL,
    WIDER_VAL_HRNET,
)

_AP = Span("AP (%)", 1, 3)
_SETTINGS = ("Easy", "Med", "Hard")
_LOSS_NAMES = {
    BASELINE: "Baseline",
    "cross-entropy": "Cross Entropy",
    "l1": "L1",
    "l2": "L2",
    "smooth-l1": "Smooth L1",
    "rank": "Rank",
}
_ORDER_COMPARES = (
    "The paper's rows are of other images and a longer training: compare the order, not the numbers"
)


def paper_tables(measured: Measured) -> list[Grid]:
    """The tables for which something was measured, in the paper's order."""
    tables = [
        _sweep_table(measured, "losses", "Table 1: each loss function", "Loss", LOSSES),
        _sweep_table(measured, "pairs", "Table 2: number of pairs of the ranking loss", "Pair", PAIRS),
        scales_table(measured, _comparable(measured)),
        *large_tables(measured),
        _external(measured),
    ]
    return [table for table in tables if table is not None]


def missing_tables(measured: Measured) -> list[str]:
    """For each table that cannot be made, a sentence with the command that makes it possible."""
    missing = []
    if not measured.sweeps.get("losses"):
        missing.append("Table 1 (losses) needs `crface ablate losses`.")
    if not measured.sweeps.get("pairs"):
        missing.append("Table 2 (pairs) needs `crface ablate pairs`.")
    if not measured.compared:
        missing.append("Table 3 (multi-scale and speed) needs `crface evaluate-protocols`.")
    if not large_tables(measured):
        missing.append("Table 4 (8K) needs `crface evaluate-protocols` with a large protocol such as 8k.")
    return missing


def _sweep_table(
    measured: Measured, sweep: str, title: str, heading: str, paper: Mapping[str, tuple[str, str, str]]
) -> Grid | None:
    rows = measured.sweeps.get(sweep, ())
    if not rows:
        return None
    groups = [
        Group(
            f"this run: {detector} on {measured.where}",
            _sweep_lines([row for row in rows if row.row.detector == detector]),
        )
        for detector in dict.fromkeys(row.row.detector for row in rows)
    ]
    printed = [(setting_label(setting), *ap) for setting, ap in paper.items()]
    groups.append(Group(WIDER_VAL_HRNET, with_strongest(printed, 3), is_paper=True))
    seeds = len({row.seed for row in rows if row.setting != BASELINE})
    spread = [f"Mean and standard deviation over {seeds} seeds"] if seeds > 1 else []
    return Grid(
        f"table-{1 if sweep == 'losses' else 2}-{sweep}",
        title,
        (heading, *_SETTINGS),
        1,
        groups,
        _AP,
        [*spread, _ORDER_COMPARES],
    )


def _sweep_lines(rows: Sequence[SweepRow]) -> list[Row]:
    """A line for each setting, and last the oracle's, which is not ranked among them."""
    lines = []
    for setting in dict.fromkeys(row.setting for row in rows):
        confidence = "predicted" if setting == BASELINE else "ranked"
        lines.append((setting_label(setting), *_means(rows, setting, confidence)))
    oracle = _means(rows, BASELINE, "oracle")
    return [*with_strongest(lines, 3), Row(("Oracle", *oracle))]


def _means(rows: Sequence[SweepRow], setting: str, confidence: str) -> tuple[str, ...]:
    own = [row.row for row in rows if (row.setting, row.row.confidence) == (setting, confidence)]
    means = (mean_and_spread([getattr(row, f"ap_{name}") for row in own]) for name in SETTINGS)
    return tuple(NONE if text == "-" else text for text in means)


def setting_label(setting: str) -> str:
    """How the paper's tables name a setting of an ablation."""
    return _LOSS_NAMES.get(setting, setting)


def _external(measured: Measured) -> Grid | None:
    lines = [
        (
            f"{first.detector}{', ranked' if first.confidence == 'ranked' else ''}",
            *cells,
            "Yes" if first.protocol.endswith("multi") else "No",
        )
        for first, cells in measured.official()
    ]
    if not lines:
        return None
    printed = [Row(cells, cells[0] == "Ours") for cells in EXTERNAL]
    return Grid(
        "table-5-external",
        "Table 5: comparison with other methods",
        ("Model", *_SETTINGS, "Multi-scale"),
        1,
        [
            Group(f"this run: {measured.where}", with_strongest(lines, 3)),
            Group(WIDER_VAL, printed, is_paper=True),
        ],
        _AP,
        ["Methods with * are not formally published", *_comparable(measured)],
    )


def _comparable(measured: Measured) -> list[str]:
    if measured.is_wider_val:
        return ["Both are of WIDER FACE's validation set; times are of different machines"]
    return ["The paper's rows are of other images: compare the gains, not the numbers"]
