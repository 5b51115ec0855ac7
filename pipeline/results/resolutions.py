"""`results/resolutions.parquet`: AP over the height at which a detector sees the images (paper Figure 2)."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.errors import UserError
from pipeline.results.ap import ApRow
from pipeline.workspace.fingerprint import Parts, differences
from pipeline.workspace.layout import Workspace
from pipeline.workspace.tables import Table


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolutionRow(ApRow):
    """One number of the figure; `images` and `faces` do not depend on the height."""

    height_px: int
    """The height that every image is resized to, its shape kept."""
    face_px: float
    """Median height, in images of that height, of the faces that the setting keeps; NaN for none."""
    most_faces: int
    """Of those, the most in one image; 1 where every image shows a single face."""


def write_resolutions(
    workspace: Workspace, split: str, rows: Sequence[ResolutionRow], notes: Sequence[str], parts: Parts
) -> None:
    """Replace a split's rows, and the record of what they were computed from; other splits keep theirs.

    Raises UserError when the file cannot be written.
    """
    table = _table(workspace)
    try:
        kept, record = table.read_if_there(), table.record()
    except UserError:  # damaged: begin anew
        kept, record = [], {}
    record[split] = {"parts": parts, "notes": list(notes)}
    table.write([row for row in kept if row.split != split] + list(rows), record)


def read_resolutions(workspace: Workspace, split: str | None = None) -> list[ResolutionRow]:
    """The rows of one split, or of all; none where the figure was not measured.

    Raises UserError when the file is damaged.
    """
    return [row for row in _table(workspace).read_if_there() if split in (None, row.split)]


def resolution_notes(workspace: Workspace, split: str) -> list[str]:
    """The sentences that belong under a split's rows: what their numbers leave out.

    Raises UserError when the file is damaged.
    """
    return [str(note) for note in _table(workspace).record().get(split, {}).get("notes", [])]


def resolution_changes(workspace: Workspace, split: str, parts: Parts) -> list[str]:
    """Why a split's rows from `parts` have to be computed; empty if they are there and undamaged."""
    try:
        found = _table(workspace).record().get(split)
    except UserError as error:
        return [str(error)]
    if found is None:
        return ["not computed yet"]
    return differences(found["parts"], json.loads(json.dumps(parts)))


def _table(workspace: Workspace) -> Table[ResolutionRow]:
    return Table(workspace.resolutions, ResolutionRow, "crface evaluate-resolutions")
