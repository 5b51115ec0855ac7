"""Tables 1 to 5 of the paper in its layout: one's own rows, and apart from them the paper's.

The paper's rows were measured on other data unless one's own is WIDER FACE: every group of rows says on what.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from pipeline.ground_truth.truth import SETTINGS
from pipeline.report.grid import Grid, Group, Row, Span, with_strongest
from pipeline.report.tables import NONE, percent
from pipeline.results.ablation import SweepRow, mean_and_spread
from pipeline.results.ap import ApRow
from pipeline.results.paper import (
    BASELINE,
    EXTERNAL,
    LOSSES,
    PAIRS,
    SCALES,
    SCALES_8K,
    TEST_8K,
    WIDER_VAL,
    WIDER_VAL_HRNET,
)
from pipeline.results.protocols import ComparisonRow, ranker_name
from pipeline.results.text import milliseconds
from pipeline.workspace.layout import slug

_AP = Span("AP (%)", 1, 3)
_SETTINGS = ("Easy", "Med", "Hard")
_SCALES = ("single", "multi", "rank")
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


@dataclass(frozen=True, slots=True)
class Measured:
    """All stored rows that the tables are made from; empty where a command was not run."""

    data: str
    """The data set and split of one's own rows, in words."""
    images: str
    """How many images of it were evaluated, in words."""
    is_wider_val: bool
    """Whether that is WIDER FACE's validation set with its official ground truth."""
    ap: Sequence[ApRow]
    compared: Sequence[ComparisonRow]
    sweeps: Mapping[str, Sequence[SweepRow]]

    @property
    def where(self) -> str:
        """What the evaluation's own rows were measured on."""
        return f"{self.data}, {self.images}"


def paper_tables(measured: Measured) -> list[Grid]:
    """The tables for which something was measured, in the paper's order."""
    tables = [
        _sweep_table(measured, "losses", "Table 1: each loss function", "Loss", LOSSES),
        _sweep_table(measured, "pairs", "Table 2: number of pairs of the ranking loss", "Pair", PAIRS),
        _scales(measured),
        *(_large_scales(measured, protocol) for protocol in _large_protocols(measured.compared)),
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
    if not _large_protocols(measured.compared):
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


def _scales(measured: Measured) -> Grid | None:
    """Table 3 from the compared protocols; without them only single and rank, which have no times."""
    lines = [
        (row.detector, _scale(row), *cells, milliseconds(row.median_ms))
        for row, cells in _by_line(measured.compared)
        if row.protocol in ("single", "multi")
    ]
    order = list(dict.fromkeys(cells[0] for cells in lines))
    lines.sort(key=lambda cells: (order.index(cells[0]), _SCALES.index(cells[1])))
    where = measured.where
    if lines:
        first = measured.compared[0]
        where = f"{measured.data}, {_compared_images(first)}; {_machine(first)}"
    else:
        lines = [
            (first.detector, {"predicted": first.protocol, "ranked": "rank"}[first.confidence], *cells, "")
            for first, cells in _official(measured.ap)
        ]
    if not lines:
        return None
    printed = [Row(cells, cells[:2] == ("HRNet (ours)", "rank")) for cells in SCALES]
    return Grid(
        "table-3-scales",
        "Table 3: one scale, several scales, and the ranker on one scale",
        ("Model", "Scale", *_SETTINGS, "Speed (ms)"),
        2,
        [
            Group(f"this run: {where}", with_strongest(lines, 4)),
            Group(f"{WIDER_VAL}; GPU", printed, is_paper=True),
        ],
        Span("AP (%)", 2, 3),
        _comparable(measured),
    )


def _large_protocols(rows: Sequence[ComparisonRow]) -> list[str]:
    """The protocols beside single and multi that have several views or a ranker, without the `-multi` of each."""
    return list(
        dict.fromkeys(
            row.protocol.removesuffix("-multi")
            for row in rows
            if row.protocol not in ("single", "multi") and (row.ranker or row.protocol.endswith("-multi"))
        )
    )


def _large_scales(measured: Measured, protocol: str) -> Grid:
    """Table 4 for one large protocol, AP of the hard setting."""
    own = [row for row in measured.compared if row.protocol in (protocol, f"{protocol}-multi")]
    lines = [
        (row.detector, _large_scale(row), cells[-1], milliseconds(row.median_ms))
        for row, cells in _by_line(own)
    ]
    printed = [Row(cells, cells[1] == "rank 8k") for cells in SCALES_8K]
    first = own[0]
    where = f"{measured.data}, {_compared_images(first)}, {protocol}; {_machine(first)}"
    return Grid(
        f"table-4-{slug(protocol)}",
        f"Table 4: large images ({protocol})",
        ("Model", "Scale", "AP (%)", "Speed (ms)"),
        2,
        [
            Group(f"this run: {where}", with_strongest(lines, 2)),
            Group(f"{TEST_8K}; GPU", printed, is_paper=True),
        ],
        None,
        [
            "This run's AP is that of the hard setting",
            "The paper's test set is not published: compare the gains, not the numbers",
        ],
    )


def _external(measured: Measured) -> Grid | None:
    lines = [
        (
            f"{first.detector}{', ranked' if first.confidence == 'ranked' else ''}",
            *cells,
            "Yes" if first.protocol.endswith("multi") else "No",
        )
        for first, cells in _official(measured.ap)
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


def _official(rows: Sequence[ApRow]) -> Iterable[tuple[ApRow, tuple[str, ...]]]:
    """Predicted and ranked of each detector, with the official AP of each setting as text."""
    wanted = [row for row in rows if row.kind == "official" and row.confidence in ("predicted", "ranked")]
    for key in dict.fromkeys((row.detector, row.confidence) for row in wanted):
        own = [row for row in wanted if (row.detector, row.confidence) == key]
        yield own[0], _cells(own)


def _by_line(rows: Sequence[ComparisonRow]) -> Iterable[tuple[ComparisonRow, tuple[str, ...]]]:
    for key in dict.fromkeys((row.detector, row.line) for row in rows):
        own = [row for row in rows if (row.detector, row.line) == key]
        yield own[0], _cells(own)


def _cells(rows: Sequence[ApRow]) -> tuple[str, ...]:
    ap = {row.setting: row.ap for row in rows}
    return tuple(percent(ap.get(setting, float("nan"))) for setting in SETTINGS)


def _scale(row: ComparisonRow) -> str:
    return "rank" if row.ranker and not row.ranker_of else row.line


def _large_scale(row: ComparisonRow) -> str:
    if row.ranker:
        return ranker_name(row.ranker_of).replace("-", " ", 1)
    return "multi" if row.protocol.endswith("-multi") else "single"


def _compared_images(row: ComparisonRow) -> str:
    part = f"the same {row.images} of " if row.images < row.split_images else ""
    return f"{part}{row.split_images} images"


def _machine(row: ComparisonRow) -> str:
    return (
        f"{row.device}, {row.threads} thread{'s' * (row.threads != 1)}" if row.device == "cpu" else row.device
    )


def _comparable(measured: Measured) -> list[str]:
    if measured.is_wider_val:
        return ["Both are of WIDER FACE's validation set; times are of different machines"]
    return ["The paper's rows are of other images: compare the gains, not the numbers"]
