"""`results/resolutions.parquet`: AP over the height at which a detector sees the images (paper Figure 2)."""

import io
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.errors import UserError
from pipeline.fingerprint import Parts, differences
from pipeline.place import in_memory
from pipeline.results import AP_SCHEMA, ApRow
from pipeline.workspace import Workspace, write_atomically


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolutionRow(ApRow):
    """One number of the figure; `images` and `faces` do not depend on the height."""

    height_px: int
    """The height that every image is resized to, its shape kept."""
    face_px: float
    """Median height, in images of that height, of the faces that the setting keeps; NaN for none."""
    most_faces: int
    """Of those, the most in one image; 1 where every image shows a single face."""


_SCHEMA: Final = pa.schema(
    [*AP_SCHEMA, ("height_px", pa.int64()), ("face_px", pa.float64()), ("most_faces", pa.int64())]
)
_MADE_FROM: Final = b"made from"  # in the file's metadata, so that the table and its origin are never at odds


def write_resolutions(
    workspace: Workspace, split: str, rows: Sequence[ResolutionRow], notes: Sequence[str], parts: Parts
) -> None:
    """Replace a split's rows, and the record of what they were computed from; other splits keep theirs.

    NaN becomes null. Raises UserError when the file cannot be written.
    """
    path = workspace.resolutions
    try:
        kept, record = read_resolutions(workspace), _record(workspace)
    except UserError:  # none yet, or damaged: begin anew
        kept, record = [], {}
    everything = [row for row in kept if row.split != split] + list(rows)
    record[split] = {"parts": parts, "notes": list(notes)}
    values = [{k: None if v != v else v for k, v in asdict(row).items()} for row in everything]
    table = pa.Table.from_pylist(values, _SCHEMA).replace_schema_metadata({_MADE_FROM: json.dumps(record)})
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd", write_page_checksum=True)
    try:
        write_atomically(path, buffer.getvalue())
    except OSError as error:
        raise UserError(f"cannot write the results {path}: {error.strerror or error}") from error


def read_resolutions(workspace: Workspace, split: str | None = None) -> list[ResolutionRow]:
    """Read the rows of one split, or of all, NaN for null; none where the figure was not measured.

    Raises UserError when the file is damaged.
    """
    if not workspace.resolutions.exists():
        return []
    rows: list[dict[str, Any]] = _read(workspace).to_pylist()
    for row in rows:
        row |= {name: math.nan for name, value in row.items() if value is None}
    return [ResolutionRow(**row) for row in rows if split in (None, row["split"])]


def resolution_notes(workspace: Workspace, split: str) -> list[str]:
    """Read the sentences that belong under a split's rows: what was left out of them.

    Raises UserError when the file is damaged.
    """
    return [str(note) for note in _record(workspace).get(split, {}).get("notes", [])]


def resolution_changes(workspace: Workspace, split: str, parts: Parts) -> list[str]:
    """Say why a split's rows from `parts` have to be computed; empty if they are there and undamaged."""
    try:
        found = _record(workspace).get(split)
    except UserError as error:
        return [str(error)]
    if found is None:
        return ["not computed yet"]
    return differences(found["parts"], json.loads(json.dumps(parts)))


def _record(workspace: Workspace) -> dict[str, Any]:
    if not workspace.resolutions.exists():
        return {}
    return dict(json.loads(_read(workspace).schema.metadata[_MADE_FROM]))


def _read(workspace: Workspace) -> Any:
    path = workspace.resolutions
    again = "run `crface evaluate-resolutions` again"
    try:
        table = pq.read_table(in_memory(path), page_checksum_verification=True)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise UserError(f"the results {path} are damaged ({error}): {again}") from error
    if not table.schema.equals(_SCHEMA) or _MADE_FROM not in (table.schema.metadata or {}):
        raise UserError(f"the results {path} have not this version's columns: {again}")
    return table
