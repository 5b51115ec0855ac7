"""The table of AP over image height as text, 80 columns wide."""

import textwrap
from collections.abc import Iterable, Sequence
from itertools import groupby

from pipeline.ground_truth.truth import SETTINGS
from pipeline.results.resolutions import ResolutionRow

_WIDTH = 80


def format_resolutions(rows: Iterable[ResolutionRow]) -> str:
    """Set the rows as text, one table for each detector, one line for each height; empty for no rows.

    Official AP in percent, easy / medium / hard; a dash where a setting keeps no face.
    """
    ordered = sorted(rows, key=lambda row: (row.split, row.detector, row.weights))
    tables = groupby(ordered, key=lambda row: (row.split, row.detector, row.weights))
    return "\n\n".join(_one_table([row for row in table if row.kind == "official"]) for _, table in tables)


def _one_table(rows: Sequence[ResolutionRow]) -> str:
    number = {(row.height_px, row.confidence, row.candidates, row.setting): row for row in rows}
    variants = list(dict.fromkeys((row.confidence, row.candidates) for row in rows))
    names = [f"{confidence}, {candidates}".replace("above", ">") for confidence, candidates in variants]
    lines = [["height", "face", *names]]
    for height in sorted({row.height_px for row in rows}):
        hardest = number[height, *variants[0], SETTINGS[-1]]
        cells = [
            " / ".join(_percent(number[height, *variant, setting].ap) for setting in SETTINGS)
            for variant in variants
        ]
        face = "-" if hardest.face_px != hardest.face_px else f"{hardest.face_px:.0f}"
        lines.append([str(height), face, *cells])
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    table = ["  ".join(cell.rjust(w) for cell, w in zip(line, widths, strict=True)) for line in lines]
    return "\n".join([*textwrap.wrap(_introduction(rows), _WIDTH), *table])


def _introduction(rows: Sequence[ResolutionRow]) -> str:
    first = rows[0]
    faces = " / ".join(str(row.faces) for row in rows[: len(SETTINGS)])
    return (
        f"{first.detector} (weights {first.weights[:12]}) on {first.split}, {first.images} "
        f"image{'s' * (first.images != 1)} resized to each height, one pass: official AP in %, "
        f"{' / '.join(SETTINGS)} {first.definition}, {faces} faces; IoU {first.iou:g}, NMS {first.nms_iou:g}; "
        f"face: median height of the {SETTINGS[-1]} faces, px at that size"
    )


def _percent(ap: float) -> str:
    return "-" if ap != ap else "100" if ap >= 0.9995 else f"{100 * ap:.1f}"
