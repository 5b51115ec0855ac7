"""The evaluation's own tables as grids, for their files: all sources in one table, where the page has one for each."""

from collections.abc import Sequence
from itertools import chain

from pipeline.report.findings import Findings
from pipeline.report.grid import Grid, Group, Row, Span
from pipeline.report.tables import Table

Sources = Sequence[tuple[Table, Findings]]


def result_grids(sources: Sources, where: str) -> list[Grid]:
    """The tables of AP, intervals, face heights, failures, false positives and calibration; none without rows."""
    if not sources:
        return []
    settings = [setting for setting, _ in sources[0][0].settings]
    first = sources[0][1]
    grids = [
        Grid(
            "ap",
            "Average precision, official and exact",
            ("detector", "confidence", "candidates", *settings, *(f"{name} exact" for name in settings)),
            3,
            _group(where, [cells for table, _ in sources for cells in _ap(table)]),
            Span("AP (%)", 3, 2 * len(settings)),
        ),
        Grid(
            "intervals",
            "Official AP and gains with 95 % intervals",
            ("detector", "number", *chain(*((name, f"{name} 95 %") for name in first.settings))),
            2,
            _group(where, [cells for table, found in sources for cells in _intervals(table, found)]),
        ),
        Grid(
            "heights",
            "AP by face height, official and exact",
            ("detector", "height", "faces", *chain(*((n, f"{n} exact") for n in first.confidences))),
            2,
            _group(where, [cells for table, found in sources for cells in _heights(table, found)]),
        ),
        Grid(
            "failures",
            "Missed faces by group, and how many of them a better confidence would find",
            (
                "detector",
                "property",
                "value",
                "faces",
                *chain(*((f"missed by {n}", f"fixable of {n}") for n in first.failing)),
                "without any candidate",
            ),
            3,
            _group(where, [cells for table, found in sources for cells in _failures(table, found)]),
        ),
        Grid(
            "false-positives",
            "False positives at the best F1",
            (
                *("detector", "confidence", "threshold", "precision (%)", "recall (%)"),
                *("detections", "on a found face", "misplaced", "background"),
            ),
            2,
            _group(where, [cells for table, found in sources for cells in _mistakes(table, found)]),
        ),
        Grid(
            "calibration",
            "Calibration errors and order against the oracle",
            (
                *("detector", "confidence", "ECE right", "ECE overlap"),
                *("Kendall's tau", "Spearman's rho", "images"),
            ),
            2,
            _group(where, [cells for table, found in sources for cells in _calibration(table, found)]),
        ),
    ]
    return [grid for grid in grids if grid.groups]


def _group(where: str, rows: Sequence[tuple[str, ...]]) -> list[Group]:
    return [Group(where, [Row(cells) for cells in rows])] if rows else []


def _ap(table: Table) -> list[tuple[str, ...]]:
    lines = [
        (
            table.detector,
            line.confidence,
            line.candidates,
            *(cell.official for cell in line.cells),
            *(cell.exact for cell in line.cells),
        )
        for line in table.lines
    ]
    if table.recovered:
        shares = table.recovered
        words = (table.detector, "oracle gap recovered", "")
        lines.append((*words, *(cell.official for cell in shares), *(cell.exact for cell in shares)))
    return lines


def _intervals(table: Table, found: Findings) -> list[tuple[str, ...]]:
    return [(table.detector, line.name, *chain(*line.cells)) for line in found.intervals]


def _heights(table: Table, found: Findings) -> list[tuple[str, ...]]:
    return [(table.detector, line.name, str(line.faces), *chain(*line.cells)) for line in found.heights]


def _failures(table: Table, found: Findings) -> list[tuple[str, ...]]:
    return [
        (
            table.detector,
            line.group,
            line.value,
            str(line.faces),
            *chain(*((str(missed), fixable) for missed, fixable in line.cells)),
            str(line.unreachable),
        )
        for line in found.groups
    ]


def _mistakes(table: Table, found: Findings) -> list[tuple[str, ...]]:
    return [
        (
            table.detector,
            line.confidence,
            line.threshold,
            line.precision,
            line.recall,
            *(count.replace(",", "") for count in line.counts),
        )
        for line in found.mistakes
    ]


def _calibration(table: Table, found: Findings) -> list[tuple[str, ...]]:
    return [(table.detector, line.confidence, *line.numbers, str(line.images)) for line in found.order]
