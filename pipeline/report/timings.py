"""The report's table of what an image costs, from `results/timings.parquet`."""

from dataclasses import dataclass

from pipeline.results.timings import COLUMNS, TimingLine, read_timings, timing_lines
from pipeline.workspace.layout import Workspace


@dataclass(frozen=True, slots=True)
class TimingTable:
    """The table, and how it was measured in words."""

    columns: tuple[str, ...]
    """The parts that have a value in some line."""
    lines: list[TimingLine]
    where: str
    """The images, and the machine."""
    conditions: str


def timing_table(workspace: Workspace) -> TimingTable | None:
    """The table; None where `crface bench timings` was not run.

    Raises UserError when what it left is damaged.
    """
    rows = read_timings(workspace)
    if not rows:
        return None
    lines = timing_lines(rows)
    used = [number for number in range(len(COLUMNS)) if any(line.cells[number] for line in lines)]
    shown = [
        TimingLine(line.detector, line.protocol, tuple(line.cells[number] for number in used))
        for line in lines
    ]
    first = rows[0]
    ranker = next((row.ranker for row in rows if row.ranker), "")
    conditions = (
        f"Milliseconds an image, median (95th percentile) of {first.images} images of {first.split}, one at a time in "
        f"one process after a warm-up, on {first.device} ({first.threads} CPU threads, torch {first.torch}). Decoding "
        "is not counted; the detector includes resizing, all views of the protocol, and the way to the device."
    )
    if ranker:
        conditions += f" Ranker {ranker}."
    where = f"{first.images} images of {first.split}, {first.device}"
    return TimingTable(tuple(COLUMNS[number] for number in used), shown, where, conditions)
