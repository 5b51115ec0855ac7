"""The AP table as text, 80 columns wide: every line says under which conditions its numbers hold."""

import math
import textwrap
from collections.abc import Iterable, Sequence
from itertools import groupby

from pipeline.ground_truth.truth import SETTINGS
from pipeline.results.ap import ApRow

_WIDTH = 80
_HEADINGS = ["confidence", "input", "protocol", "NMS", "score", *SETTINGS]
_MAX_INPUT = 10  # letters of an input size in its column; a longer one stands above the table
_NUM_WORDS = len(_HEADINGS) - len(SETTINGS)


def format_table(rows: Iterable[ApRow]) -> str:
    """Set the rows as text, one table for each detector and protocol; empty for no rows.

    Official AP of easy, medium and hard with the exact one in brackets, in percent; a dash where there is none.
    Under a table with a ranker, which share of the oracle gap it recovered, and its gain with the 95 % interval,
    which says whether the gain is real.
    """
    tables = groupby(
        (row for row in rows if row.setting in SETTINGS),
        key=lambda row: (row.split, row.detector, row.weights, row.protocol, row.fingerprint),
    )
    return "\n\n".join(_one_table(list(table)) for _, table in tables)


def _one_table(rows: Sequence[ApRow]) -> str:
    first = rows[0]
    found = {(row.confidence, row.candidates, row.setting, row.kind): row for row in rows}
    lines = [_HEADINGS]
    for confidence, candidates in dict.fromkeys((row.confidence, row.candidates) for row in rows):
        numbers = [
            f"{_percent(found[confidence, candidates, setting, 'official'].ap)} "
            f"({_percent(found[confidence, candidates, setting, 'exact'].ap)})"
            for setting in SETTINGS
        ]
        score = candidates.replace("above", ">")
        size = first.input_size if len(first.input_size) <= _MAX_INPUT else "see above"
        lines.append([confidence, size, first.protocol, f"{first.nms_iou:g}", score, *numbers])
    ranked = [row for row in rows if row.confidence == "ranked" and row.kind == "official"]
    return "\n".join(
        [
            *textwrap.wrap(_introduction(rows[: 2 * len(SETTINGS)]), _WIDTH),
            *_aligned(lines),
            *(textwrap.wrap(_recovered(ranked), _WIDTH) if ranked else []),
            *(_gains(ranked) if ranked else []),
        ]
    )


def _introduction(rows: Sequence[ApRow]) -> str:
    first = rows[0]
    faces = " / ".join(str(row.faces) for row in rows if row.kind == "official")
    return (
        f"{first.detector} (weights {first.weights[:12]}) on {first.split}, {first.images} "
        f"image{'s' * (first.images != 1)}: official AP "
        f"in %, in brackets with every score a threshold; IoU {first.iou:g}; {' / '.join(SETTINGS)} "
        f"{first.definition}, {faces} faces, ground truth {first.ground_truth[:12]}"
        + (f"; input: {first.input_size}" if len(first.input_size) > _MAX_INPUT else "")
    )


def _recovered(ranked: Sequence[ApRow]) -> str:
    shares = " / ".join(
        "-" if math.isnan(row.recovered) else f"{_percent(row.recovered)} %" for row in ranked
    )
    return f"oracle gap recovered by the ranker {ranked[0].ranker[:12]}: {shares}"


def _gains(ranked: Sequence[ApRow]) -> list[str]:
    """Say what ranking gained, in points; with intervals also what of it is real."""
    if all(math.isnan(row.gain_low) for row in ranked):
        gains = " / ".join(_points(row.gain) for row in ranked)
        return [f"gain by ranking {gains}; no intervals"]
    gains = " / ".join(
        f"{_points(row.gain)} ({_points(row.gain_low)} .. {_points(row.gain_high)})" for row in ranked
    )
    real = [row.setting for row in ranked if row.is_gain_real]
    verdict = f"real in {', '.join(real)}" if real else "none is told from chance"
    return textwrap.wrap(f"gain by ranking {gains}", _WIDTH) + textwrap.wrap(
        f"in brackets the 95 % interval, had other images been drawn: {verdict}", _WIDTH
    )


def _points(difference: float) -> str:
    return "-" if math.isnan(difference) else f"{100 * difference:+.1f}"


def _aligned(lines: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return [
        " ".join(
            cell.ljust(width) if column < _NUM_WORDS else cell.rjust(width + 1)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        for line in lines
    ]


def _percent(share: float) -> str:
    if math.isnan(share):
        return "-"
    return "100" if share >= 0.9995 else f"{100 * share:.1f}"
