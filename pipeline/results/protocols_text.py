"""The table of protocols and rankers over the same images as text, 80 columns wide."""

import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

from pipeline.ground_truth.truth import SETTINGS
from pipeline.results.protocols import ComparisonRow

_WIDTH = 80


@dataclass(frozen=True, slots=True)
class ComparedLine:
    """One line for people."""

    name: str
    cells: tuple[str, ...]
    """AP in percent and its 95 % interval, easy, medium and hard; a dash where a setting keeps no face."""
    milliseconds: str


@dataclass(frozen=True, slots=True)
class ComparedTable:
    """One detector's lines, and under which conditions they hold."""

    title: str
    """The detector and the images."""
    conditions: str
    lines: list[ComparedLine]
    rankers: str
    """What each ranker was trained on, in words; empty without one."""


def compared_tables(rows: Iterable[ComparisonRow]) -> list[ComparedTable]:
    """Put the rows together, a table for each detector in the order of the rows; none for no rows."""
    by_detector: dict[tuple[str, str], list[ComparisonRow]] = {}
    for row in rows:
        by_detector.setdefault((row.detector, row.weights), []).append(row)
    return [_table(group) for group in by_detector.values()]


def format_comparison(rows: Iterable[ComparisonRow]) -> str:
    """Set the rows as text, 80 columns wide for the usual names; empty for no rows."""
    return "\n\n".join(_as_text(table) for table in compared_tables(rows))


def _table(rows: Sequence[ComparisonRow]) -> ComparedTable:
    first = rows[0]
    faces = " / ".join(str(row.faces) for row in rows[: len(SETTINGS)])
    is_part = first.images < first.split_images
    count = f"the same {first.images} of {first.split_images}" if is_part else f"all {first.images}"
    conditions = (
        f"official AP in %, in brackets the 95 % interval, had other images been drawn; IoU {first.iou:g}, NMS "
        f"{first.nms_iou:g}, score above {first.score_threshold:g}; {' / '.join(SETTINGS)} {first.definition}, "
        f"{faces} faces. ms: median of {_number(first.timed_images, 'image')} on {first.device}"
        + (f", {_number(first.threads, 'thread')}" if first.device == "cpu" else "")
        + "; all but decoding"
    )
    lines = [
        ComparedLine(name, tuple(_cell(row) for row in group), _ms(group[0].median_ms))
        for name, group in ((name, list(group)) for name, group in groupby(rows, key=lambda row: row.line))
    ]
    trained = dict.fromkeys((row.line.partition(", ")[2], row.trained_on) for row in rows if row.ranker)
    rankers = "; ".join(
        f"{name}: the ranker trained on {_number(trained_on, 'image') if trained_on else 'images not known here'}"
        + (f", their candidates {name.removeprefix('rank-')}" if name != "rank" else "")
        for name, trained_on in trained
    )
    title = f"{first.detector} (weights {first.weights[:12]}) on {count} images of {first.split}"
    return ComparedTable(title, conditions, lines, rankers)


def _as_text(table: ComparedTable) -> str:
    lines = [["", *SETTINGS, "ms"], *([line.name, *line.cells, line.milliseconds] for line in table.lines)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    text = [
        "  ".join(
            cell.rjust(width) if column else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        for line in lines
    ]
    introduction = textwrap.wrap(f"{table.title}: {table.conditions}", _WIDTH)
    return "\n".join([*introduction, *text, *textwrap.wrap(table.rankers, _WIDTH)])


def _cell(row: ComparisonRow) -> str:
    if row.ap != row.ap:
        return "-"
    interval = "" if row.ap_low != row.ap_low else f" ({100 * row.ap_low:.0f} .. {100 * row.ap_high:.0f})"
    return f"{_percent(row.ap)}{interval}"


def _number(count: int, of: str) -> str:
    return f"{count} {of}{'s' * (count != 1)}"


def _percent(ap: float) -> str:
    return "100" if ap >= 0.9995 else f"{100 * ap:.1f}"


def _ms(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"
