"""`results/protocols.parquet`: AP and milliseconds of protocols and rankers over the same images."""

import io
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.errors import UserError
from pipeline.fingerprint import Parts, differences
from pipeline.place import in_memory
from pipeline.results import AP_SCHEMA, ApRow, as_json
from pipeline.workspace import Workspace, write_atomically


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
_MADE_FROM: Final = b"made from"  # in the file's metadata, so that the table and its origin are never at odds


def write_comparison(
    workspace: Workspace, rows: Sequence[ComparisonRow], notes: Sequence[str], parts: Parts
) -> None:
    """Replace the table, and the record of what it was computed from. NaN becomes null.

    Raises UserError when the file cannot be written.
    """
    path = workspace.protocols
    record = json.dumps({"parts": parts, "notes": list(notes)})
    table = pa.Table.from_pylist([as_json(row) for row in rows], _SCHEMA)
    buffer = io.BytesIO()
    pq.write_table(
        table.replace_schema_metadata({_MADE_FROM: record}),
        buffer,
        compression="zstd",
        write_page_checksum=True,
    )
    try:
        write_atomically(path, buffer.getvalue())
    except OSError as error:
        raise UserError(f"cannot write the results {path}: {error.strerror or error}") from error


def read_comparison(workspace: Workspace) -> list[ComparisonRow]:
    """Read the table back in its order, NaN for null; no rows where nothing was compared.

    Raises UserError when the file is damaged.
    """
    if not workspace.protocols.exists():
        return []
    rows: list[dict[str, Any]] = _read(workspace).to_pylist()
    for row in rows:
        row |= {name: math.nan for name, value in row.items() if value is None}
    return [ComparisonRow(**row) for row in rows]


def comparison_notes(workspace: Workspace) -> list[str]:
    """Read the sentences that belong under the table: what was left out of it.

    Raises UserError when the file is damaged.
    """
    return [str(note) for note in _record(workspace).get("notes", [])]


def comparison_changes(workspace: Workspace, parts: Parts) -> list[str]:
    """Say why a table from `parts` has to be computed; empty if it is there and undamaged."""
    try:
        found = _record(workspace)
    except UserError as error:
        return [str(error)]
    if not found:
        return ["not computed yet"]
    return differences(found["parts"], json.loads(json.dumps(parts)))


def _record(workspace: Workspace) -> dict[str, Any]:
    if not workspace.protocols.exists():
        return {}
    return dict(json.loads(_read(workspace).schema.metadata[_MADE_FROM]))


def _read(workspace: Workspace) -> Any:
    path = workspace.protocols
    again = "run `crface evaluate-protocols` again"
    try:
        table = pq.read_table(in_memory(path), page_checksum_verification=True)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise UserError(f"the results {path} are damaged ({error}): {again}") from error
    if not table.schema.equals(_SCHEMA) or _MADE_FROM not in (table.schema.metadata or {}):
        raise UserError(f"the results {path} have not this version's columns: {again}")
    return table
