"""`results/protocols.parquet`: AP and milliseconds of protocols and rankers over the same images."""

import json
import math
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from pipeline.errors import UserError
from pipeline.ground_truth.truth import SETTINGS
from pipeline.results.ap import ApRow
from pipeline.results.text import NONE, WIDTH, aligned, counted, milliseconds, percent
from pipeline.workspace.fingerprint import Parts, differences
from pipeline.workspace.layout import Workspace
from pipeline.workspace.tables import Table


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparisonRow(ApRow):
    """One number of the table: a line's official AP in easy, medium or hard."""

    line: str
    """The line's heading, as `line_name` gives it."""
    trained_on: int
    """How many images the ranker was trained on; 0 without a ranker, and where it is not known."""
    split_images: int
    """How many images the split has, of which `images` were compared."""
    oracle_ap: float
    """AP that the oracle reaches with the line's boxes above the threshold; NaN where the setting keeps no face."""
    median_ms: float
    """Time of an image without decoding: resizing, all views, fusion, NMS, and the ranker where there is one."""
    timed_images: int
    device: str
    threads: int
    """The CPU threads of torch."""

    @property
    def ranker_of(self) -> str:
        """The protocol that the line's ranker was trained for; empty for the run's own, and without a ranker."""
        return self.protocol if self.line == line_name(self.protocol, ranker_name(self.protocol)) else ""


def ranker_name(protocol: str = "") -> str:
    """The name of a ranker trained on a protocol's own candidates, `rank-8k`; of the run's ranker, `rank`."""
    return f"rank-{protocol}" if protocol else "rank"


def line_name(protocol: str, ranker: str = "") -> str:
    """The heading of a line: `multi`, `single, rank`, `8k, rank-8k`."""
    return f"{protocol}, {ranker}" if ranker else protocol


def write_comparison(
    workspace: Workspace, rows: Sequence[ComparisonRow], notes: Sequence[str], parts: Parts
) -> None:
    """Replace the table, and the record of what it was computed from.

    Raises UserError when the file cannot be written.
    """
    record = {"parts": parts, "notes": list(notes)}
    _table(workspace).write(rows, record)


def read_comparison(workspace: Workspace) -> list[ComparisonRow]:
    """The rows of the table in their order; none where nothing was compared.

    Raises UserError when the file is damaged.
    """
    return _table(workspace).read_if_there()


def comparison_notes(workspace: Workspace) -> list[str]:
    """The sentences that belong under the table: what its numbers leave out.

    Raises UserError when the file is damaged.
    """
    return [str(note) for note in _table(workspace).record().get("notes", [])]


def comparison_changes(workspace: Workspace, parts: Parts) -> list[str]:
    """Why a table from `parts` has to be computed; empty if it is there and undamaged."""
    try:
        found = _table(workspace).record()
    except UserError as error:
        return [str(error)]
    if not found:
        return ["not computed yet"]
    return differences(found["parts"], json.loads(json.dumps(parts)))


@dataclass(frozen=True, slots=True)
class ComparedLine:
    """One line of the table, as text."""

    name: str
    cells: tuple[str, ...]
    """AP in percent and its 95 % interval, easy, medium and hard; a dash where a setting keeps no face."""
    milliseconds: str


@dataclass(frozen=True, slots=True)
class ComparedTable:
    """One detector's lines, and the conditions under which they hold."""

    title: str
    """The detector and the images."""
    conditions: str
    lines: list[ComparedLine]
    rankers: str
    """What each ranker was trained on, as text; empty without a ranker."""


def compared_tables(rows: Iterable[ComparisonRow]) -> list[ComparedTable]:
    """A table for each detector and split, in the order of the rows; none for no rows."""
    groups: dict[tuple[str, str, str], list[ComparisonRow]] = {}
    for row in rows:
        groups.setdefault((row.detector, row.weights, row.split), []).append(row)
    return [_compared(group) for group in groups.values()]


def format_comparison(rows: Iterable[ComparisonRow]) -> str:
    """The rows as text, 80 columns wide for the usual names; empty for no rows."""
    return "\n\n".join(_as_text(table) for table in compared_tables(rows))


def _compared(rows: Sequence[ComparisonRow]) -> ComparedTable:
    first = rows[0]
    faces = " / ".join(str(row.faces) for row in rows[: len(SETTINGS)])
    is_part = first.images < first.split_images
    whole = "the only image" if first.images == 1 else f"all {first.images} images"
    count = f"the same {first.images} of {first.split_images} images" if is_part else whole
    conditions = (
        f"official AP in %, in brackets the 95 % interval, had other images been drawn; IoU {first.iou:g}, NMS "
        f"{first.nms_iou:g}, score above {first.score_threshold:g}; {' / '.join(SETTINGS)} {first.definition}, "
        f"{faces} faces. ms: median of {counted(first.timed_images, 'image')} on {first.device}"
        + (f", {counted(first.threads, 'thread')}" if first.device == "cpu" else "")
        + "; all but decoding"
    )
    lines = [line for _, group in groupby(rows, key=lambda row: row.protocol) for line in _lines(list(group))]
    trained = dict.fromkeys((row.ranker_of, row.trained_on) for row in rows if row.ranker)
    rankers = "; ".join(
        f"{ranker_name(protocol)}: the ranker trained on "
        + (counted(trained_on, "image") if trained_on else "images not known here")
        + (f", their candidates {protocol}" if protocol else "")
        for protocol, trained_on in trained
    )
    title = f"{first.detector} (weights {first.weights[:12]}) on {count} of {first.split}"
    return ComparedTable(title, conditions, lines, rankers)


def _lines(rows: Sequence[ComparisonRow]) -> Iterator[ComparedLine]:
    """The lines of one protocol, and what the oracle reaches with its boxes."""
    for name, found in groupby(rows, key=lambda row: row.line):
        group = list(found)
        yield ComparedLine(name, tuple(_cell(row) for row in group), milliseconds(group[0].median_ms))
    bounds = tuple(percent(row.oracle_ap) for row in rows[: len(SETTINGS)])
    yield ComparedLine(line_name(rows[0].protocol, "oracle"), bounds, NONE)


def _as_text(table: ComparedTable) -> str:
    lines = [["", *SETTINGS, "ms"], *([line.name, *line.cells, line.milliseconds] for line in table.lines)]
    introduction = textwrap.wrap(f"{table.title}: {table.conditions}", WIDTH)
    return "\n".join([*introduction, *aligned(lines), *textwrap.wrap(table.rankers, WIDTH)])


def _cell(row: ComparisonRow) -> str:
    if math.isnan(row.ap):
        return NONE
    interval = "" if math.isnan(row.ap_low) else f" ({100 * row.ap_low:.0f} .. {100 * row.ap_high:.0f})"
    return f"{percent(row.ap)}{interval}"


def _table(workspace: Workspace) -> Table[ComparisonRow]:
    return Table(workspace.protocols, ComparisonRow, "crface evaluate-protocols")
