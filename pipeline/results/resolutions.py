"""`results/resolutions.parquet`: AP over the height at which a detector sees the images (paper Figure 2)."""

import json
import math
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

from pipeline.errors import UserError
from pipeline.ground_truth.truth import SETTINGS
from pipeline.results.ap import ApRow
from pipeline.results.text import NONE, WIDTH, aligned, counted, percent
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
    """The most faces that the setting keeps in one image; 1 where every image shows a single face."""


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


def format_resolutions(rows: Iterable[ResolutionRow]) -> str:
    """The rows as text, one table for each detector, one line for each height; empty for no rows.

    Official AP in percent, easy / medium / hard; a dash where a setting keeps no face.
    """
    ordered = sorted(rows, key=lambda row: (row.split, row.detector, row.weights))
    tables = groupby(ordered, key=lambda row: (row.split, row.detector, row.weights))
    return "\n\n".join(_one_table([row for row in table if row.kind == "official"]) for _, table in tables)


def _one_table(rows: Sequence[ResolutionRow]) -> str:
    number = {(row.height_px, row.confidence, row.is_all, row.setting): row for row in rows}
    variants = list(dict.fromkeys((row.confidence, row.is_all) for row in rows))
    above = f"> {rows[0].score_threshold:g}"
    names = [f"{confidence}, {'all' if is_all else above}" for confidence, is_all in variants]
    lines = [["height", "face", *names]]
    for height in sorted({row.height_px for row in rows}):
        hardest = number[height, *variants[0], SETTINGS[-1]]
        cells = [
            " / ".join(percent(number[height, *variant, setting].ap) for setting in SETTINGS)
            for variant in variants
        ]
        face = NONE if math.isnan(hardest.face_px) else f"{hardest.face_px:.0f}"
        lines.append([str(height), face, *cells])
    return "\n".join([*textwrap.wrap(_introduction(rows), WIDTH), *aligned(lines, num_words=0)])


def _introduction(rows: Sequence[ResolutionRow]) -> str:
    first = rows[0]
    faces = " / ".join(str(row.faces) for row in rows[: len(SETTINGS)])
    return (
        f"{first.detector} (weights {first.weights[:12]}) on {first.split}, "
        f"{counted(first.images, 'image')} resized to each height, one pass: official AP in %, "
        f"{' / '.join(SETTINGS)} {first.definition}, {faces} faces; IoU {first.iou:g}, NMS {first.nms_iou:g}; "
        f"face: median height of the {SETTINGS[-1]} faces, px at that size"
    )


def _table(workspace: Workspace) -> Table[ResolutionRow]:
    return Table(workspace.resolutions, ResolutionRow, "crface evaluate-resolutions")
