"""`results/timings.parquet`: what an image costs, part by part, as the paper's Tables 1 and 4 report it."""

import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import Final, Literal

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.errors import UserError
from pipeline.workspace.layout import Workspace
from pipeline.workspace.place import in_memory
from pipeline.workspace.writing import write_atomically

Part = Literal["detector", "fusion", "ranker", "nms", "all but the ranker", "all"]
"""Fusion is of several views; nms turns candidates into detections. The last two are sums within each image."""

NAME: Final = "timings.parquet"


@dataclass(frozen=True, slots=True, kw_only=True)
class TimingRow:
    """One part under one protocol: figures over images, in milliseconds an image."""

    split: str
    detector: str
    weights: str
    """The sha256 of the detector's weights."""
    protocol: str
    input_size: str
    """At what size the detector sees an image, in words."""
    ranker: str
    """The ranker's fingerprint, where it is part of what was timed; else empty."""
    part: Part
    images: int
    median_ms: float
    p95_ms: float
    """95 of 100 images take no longer (linear between images)."""
    median_candidates: float
    """Candidates an image, after fusion where there is one."""
    device: str
    threads: int
    """Of torch, on the CPU."""
    torch: str
    """Its version."""


_SCHEMA: Final = pa.schema(
    [
        (f.name, pa.int64() if f.type is int else pa.float64() if f.type is float else pa.string())
        for f in fields(TimingRow)
    ]
)


def write_timings(workspace: Workspace, rows: Sequence[TimingRow]) -> None:
    """Replace the table: rows of one process can be compared, those of several cannot.

    Raises UserError when it cannot be written.
    """
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist([asdict(row) for row in rows], _SCHEMA), buffer, compression="zstd")
    path = workspace.results / NAME
    try:
        write_atomically(path, buffer.getvalue())
    except OSError as error:
        raise UserError(f"cannot write the timings {path}: {error.strerror or error}") from error


def read_timings(workspace: Workspace) -> list[TimingRow]:
    """Read the table back; no rows where there is none.

    Raises UserError when it is damaged, or of another version.
    """
    path = workspace.results / NAME
    if not path.is_file():
        return []
    try:
        table = pq.read_table(in_memory(path))
    except (pa.ArrowException, OSError, ValueError) as error:
        raise UserError(
            f"the timings {path} are damaged ({error}): run `crface bench timings` again"
        ) from error
    if not table.schema.equals(_SCHEMA):
        raise UserError(
            f"the timings {path} have not this version's columns: run `crface bench timings` again"
        )
    return [TimingRow(**row) for row in table.to_pylist()]


@dataclass(frozen=True, slots=True)
class TimingLine:
    """One detector under one protocol, for people: `median (p95)` of each part in milliseconds, or empty."""

    detector: str
    protocol: str
    cells: tuple[str, ...]
    """In the order of COLUMNS."""


COLUMNS: Final[tuple[Part, ...]] = ("detector", "fusion", "nms", "all but the ranker", "ranker", "all")


def timing_lines(rows: Sequence[TimingRow]) -> list[TimingLine]:
    """Give a line for each detector and protocol, in the order of the rows."""
    by_line: dict[tuple[str, str], dict[str, TimingRow]] = {}
    for row in rows:
        by_line.setdefault((row.detector, row.protocol), {})[row.part] = row
    return [
        TimingLine(*key, tuple(_cell(parts[name]) if name in parts else "" for name in COLUMNS))
        for key, parts in by_line.items()
    ]


def as_lines(rows: Sequence[TimingRow]) -> list[str]:
    """Set the table as text, 80 columns wide for the usual names and times."""
    first = rows[0]
    lines = [
        f"{first.images} images of {first.split} on {first.device}, {first.threads} threads; ms an image: median (p95)"
    ]
    for line in timing_lines(rows):
        lines += ["", f"{line.detector}, {line.protocol}"]
        lines += [f"  {part:<20}{cell:>20}" for part, cell in zip(COLUMNS, line.cells, strict=True) if cell]
    return lines


def _cell(row: TimingRow) -> str:
    return f"{_ms(row.median_ms)} ({_ms(row.p95_ms)})"


def _ms(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 1 else f"{value:.2f}"
