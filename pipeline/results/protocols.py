"""`results/protocols.parquet`: AP and milliseconds of protocols and rankers over the same images."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Final

import pyarrow as pa

from pipeline.errors import UserError
from pipeline.results.ap import AP_SCHEMA, ApRow
from pipeline.workspace.fingerprint import Parts, differences
from pipeline.workspace.layout import Workspace
from pipeline.workspace.tables import RecordedTable


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparisonRow(ApRow):
    """One number of the table: of a line, in easy, medium or hard; official AP."""

    line: str
    """The line: `multi`, `single, rank`, `8k, rank-8k`."""
    trained_on: int
    """How many images the ranker was trained on; 0 without a ranker, and where that is not known."""
    split_images: int
    """How many images the split has, of which `images` were compared."""
    median_ms: float
    """All that an image takes but decoding: resizing, all views, fusion, NMS, and the ranker where there is one."""
    timed_images: int
    device: str
    threads: int
    """Of torch, on the CPU."""


_SCHEMA: Final = pa.schema(
    [
        *AP_SCHEMA,
        ("line", pa.string()),
        ("trained_on", pa.int64()),
        ("split_images", pa.int64()),
        ("median_ms", pa.float64()),
        ("timed_images", pa.int64()),
        ("device", pa.string()),
        ("threads", pa.int64()),
    ]
)


def write_comparison(
    workspace: Workspace, rows: Sequence[ComparisonRow], notes: Sequence[str], parts: Parts
) -> None:
    """Replace the table, and the record of what it was computed from. NaN becomes null.

    Raises UserError when the file cannot be written.
    """
    record = {"parts": parts, "notes": list(notes)}
    _table(workspace).write([asdict(row) for row in rows], record)


def read_comparison(workspace: Workspace) -> list[ComparisonRow]:
    """Read the table back in its order, NaN for null; no rows where nothing was compared.

    Raises UserError when the file is damaged.
    """
    return [ComparisonRow(**row) for row in _table(workspace).rows()]


def comparison_notes(workspace: Workspace) -> list[str]:
    """Read the sentences that belong under the table: what was left out of it.

    Raises UserError when the file is damaged.
    """
    return [str(note) for note in _table(workspace).record().get("notes", [])]


def comparison_changes(workspace: Workspace, parts: Parts) -> list[str]:
    """Say why a table from `parts` has to be computed; empty if it is there and undamaged."""
    try:
        found = _table(workspace).record()
    except UserError as error:
        return [str(error)]
    if not found:
        return ["not computed yet"]
    return differences(found["parts"], json.loads(json.dumps(parts)))


def _table(workspace: Workspace) -> RecordedTable:
    return RecordedTable(workspace.protocols, _SCHEMA, "crface evaluate-protocols")
