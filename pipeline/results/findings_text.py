"""Failures and calibration in a few lines of text, 80 columns wide."""

import math
from collections.abc import Sequence

from pipeline.results.findings import CalibrationRow, FailureRow

_FAILURE_HEADINGS = ("confidence", "at", "missed", "fixable", "no box", "twice", "misplaced", "background")
_CALIBRATION_HEADINGS = ("confidence", "ECE hit", "ECE overlap", "Kendall", "Spearman", "images")


def format_failures(rows: Sequence[FailureRow]) -> str:
    """Set the failures of all faces as text, one table for each detector and protocol; empty for no rows."""
    whole = [row for row in rows if row.group == "all"]
    tables = []
    for source in dict.fromkeys(_source(row) for row in whole):
        own = [row for row in whole if _source(row) == source]
        lines = [_FAILURE_HEADINGS, *(_failure_line(row) for row in own)]
        tables.append(
            f"failures of {own[0].detector} on {own[0].split} in {own[0].setting}, {own[0].faces} faces, "
            f"at the best F1:\n{_aligned(lines)}"
        )
    return "\n\n".join(tables)


def format_calibration(rows: Sequence[CalibrationRow]) -> str:
    """Set calibration errors and rank correlations as text, likewise."""
    tables = []
    for source in dict.fromkeys(_source(row) for row in rows):
        own = [row for row in rows if _source(row) == source]
        lines: list[tuple[str, ...]] = [_CALIBRATION_HEADINGS]
        for row in own:
            if row.target == "hit":
                overlap = next(o for o in own if (o.confidence, o.target) == (row.confidence, "overlap"))
                errors = (_number(found.expected_error) for found in (row, overlap))
                order = (_number(row.kendall), _number(row.spearman), str(row.ordered_images))
                lines.append((row.confidence, *errors, *order))
        tables.append(
            f"calibration of {own[0].detector} on {own[0].split}, and order against the oracle:\n"
            f"{_aligned(lines)}"
        )
    return "\n\n".join(tables)


def _failure_line(row: FailureRow) -> tuple[str, ...]:
    share = f" ({100 * row.fixable / row.missed:.0f} %)" if row.missed else ""
    threshold = "-" if math.isnan(row.threshold) else f"{row.threshold:.3f}"
    return (
        row.confidence,
        threshold,
        str(row.missed),
        f"{row.fixable}{share}",
        str(row.unreachable),
        *(str(number) for number in (row.duplicates, row.misplaced, row.background)),
    )


def _source(row: FailureRow | CalibrationRow) -> tuple[str, ...]:
    return row.split, row.detector, row.weights, row.protocol, row.fingerprint


def _number(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.3f}"


def _aligned(lines: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if column else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        for line in lines
    )
