"""`results/timings.parquet`: what an image costs, part by part, as in the paper's Tables 1 and 4."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from pipeline.results.text import milliseconds
from pipeline.workspace.layout import Workspace
from pipeline.workspace.tables import Table

Part = Literal["detector", "fusion", "ranker", "nms", "all but the ranker", "all"]
"""fusion joins several views; nms turns candidates into detections. The last two are sums within each image."""

NAME: Final = "timings.parquet"


@dataclass(frozen=True, slots=True, kw_only=True)
class TimingRow:
    """One part under one protocol: figures over images, in milliseconds per image."""

    split: str
    detector: str
    weights: str
    """The sha256 of the detector's weights."""
    protocol: str
    input_size: str
    """The size at which the detector sees an image, in words."""
    ranker: str
    """The ranker's fingerprint; empty where it is not part of what was timed."""
    part: Part
    images: int
    median_ms: float
    p95_ms: float
    """95th percentile over images, interpolated linearly."""
    median_candidates: float
    """Median number of candidates per image, after fusion if there is any."""
    device: str
    threads: int
    """The CPU threads of torch."""
    torch: str
    """The version of torch."""


def write_timings(workspace: Workspace, rows: Sequence[TimingRow]) -> None:
    """Replace the table: rows of one process can be compared, those of several cannot.

    Raises UserError when it cannot be written.
    """
    _table(workspace).write(rows)


def read_timings(workspace: Workspace) -> list[TimingRow]:
    """The rows of the table; none where nothing was timed.

    Raises UserError when it is damaged, or of another version.
    """
    return _table(workspace).read_if_there()


def _table(workspace: Workspace) -> Table[TimingRow]:
    return Table(workspace.results / NAME, TimingRow, "crface bench timings")


@dataclass(frozen=True, slots=True)
class TimingLine:
    """One detector under one protocol, as text: `median (p95)` of each part in milliseconds, or empty."""

    detector: str
    protocol: str
    cells: tuple[str, ...]
    """In the order of COLUMNS."""


COLUMNS: Final[tuple[Part, ...]] = ("detector", "fusion", "nms", "all but the ranker", "ranker", "all")


def timing_lines(rows: Sequence[TimingRow]) -> list[TimingLine]:
    """A line for each detector and protocol, in the order of the rows."""
    by_line: dict[tuple[str, str], dict[str, TimingRow]] = {}
    for row in rows:
        by_line.setdefault((row.detector, row.protocol), {})[row.part] = row
    return [
        TimingLine(*key, tuple(_cell(parts[name]) if name in parts else "" for name in COLUMNS))
        for key, parts in by_line.items()
    ]


def as_lines(rows: Sequence[TimingRow]) -> list[str]:
    """The table as text, 80 columns wide for the usual names and times."""
    first = rows[0]
    lines = [
        f"{first.images} images of {first.split} on {first.device}, {first.threads} threads; ms an image: median (p95)"
    ]
    for line in timing_lines(rows):
        lines += ["", f"{line.detector}, {line.protocol}"]
        lines += [f"  {part:<20}{cell:>20}" for part, cell in zip(COLUMNS, line.cells, strict=True) if cell]
    return lines


def _cell(row: TimingRow) -> str:
    return f"{milliseconds(row.median_ms)} ({milliseconds(row.p95_ms)})"
