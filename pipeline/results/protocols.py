"""`results/protocols.parquet`: AP and milliseconds of protocols and rankers over the same images."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.errors import UserError
from pipeline.results.ap import ApRow
from pipeline.workspace.fingerprint import Parts, differences
from pipeline.workspace.layout import Workspace
from pipeline.workspace.tables import Table


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


def _table(workspace: Workspace) -> Table[ComparisonRow]:
    return Table(workspace.protocols, ComparisonRow, "crface evaluate-protocols")
