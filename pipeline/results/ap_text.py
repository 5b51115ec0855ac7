"""The AP table as text, 80 columns wide: every line says under which conditions its numbers hold."""

import math
import textwrap
from collections.abc import Iterable, Sequence
from itertools import groupby

from pipeline.ground_truth.truth import SETTINGS
from pipeline.results.ap import ApRow
from pipeline.results.text import NONE, WIDTH, aligned, counted, percent, points

_HEADINGS = ["confidence", "input", "protocol", "NMS", "score", *SETTINGS]
_MAX_INPUT = 10  # letters of an input size in its column; a longer one stands above the table
_NUM_WORDS = len(_HEADINGS) - len(SETTINGS)


def format_table(rows: Iterable[ApRow]) -> str:
    """The rows as text, one table for each detector and protocol; empty for no rows.

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
    found = {(row.confidence, row.is_all, row.setting, row.kind): row for row in rows}
    lines = [_HEADINGS]
    for confidence, is_all in dict.fromkeys((row.confidence, row.is_all) for row in rows):
        numbers = [
            f"{percent(found[confidence, is_all, setting, 'official'].ap)} "
            f"({percent(found[confidence, is_all, setting, 'exact'].ap)})"
            for setting in SETTINGS
        ]
        score = "all" if is_all else f"> {first.score_threshold:g}"
        size = first.input_size if len(first.input_size) <= _MAX_INPUT else "see above"
        lines.append([confidence, size, first.protocol, f"{first.nms_iou:g}", score, *numbers])
    ranked = [row for row in rows if row.confidence == "ranked" and row.kind == "official"]
    return "\n".join(
        [
            *textwrap.wrap(_introduction(rows[: 2 * len(SETTINGS)]), WIDTH),
            *aligned(lines, _NUM_WORDS),
            *(textwrap.wrap(_recovered(ranked), WIDTH) if ranked else []),
            *(_gains(ranked) if ranked else []),
        ]
    )


def _introduction(rows: Sequence[ApRow]) -> str:
    first = rows[0]
    faces = " / ".join(str(row.faces) for row in rows if row.kind == "official")
    return (
        f"{first.detector} (weights {first.weights[:12]}) on {first.split}, {counted(first.images, 'image')}: "
        f"official AP in %, in brackets with every score a threshold; IoU {first.iou:g}; {' / '.join(SETTINGS)} "
        f"{first.definition}, {faces} faces, ground truth {first.ground_truth[:12]}"
        + (f"; input: {first.input_size}" if len(first.input_size) > _MAX_INPUT else "")
    )


def _recovered(ranked: Sequence[ApRow]) -> str:
    shares = " / ".join(
        NONE if math.isnan(row.recovered) else f"{percent(row.recovered)} %" for row in ranked
    )
    return f"oracle gap recovered by the ranker {ranked[0].ranker[:12]}: {shares}"


def _gains(ranked: Sequence[ApRow]) -> list[str]:
    """What ranking gained, in points; with intervals also in which settings the gain is real."""
    if all(math.isnan(row.gain_low) for row in ranked):
        gains = " / ".join(points(row.gain) for row in ranked)
        return [f"gain by ranking {gains}; no intervals"]
    gains = " / ".join(
        f"{points(row.gain)} ({points(row.gain_low)} .. {points(row.gain_high)})" for row in ranked
    )
    real = [row.setting for row in ranked if row.is_gain_real]
    verdict = f"real in {', '.join(real)}" if real else "none is told from chance"
    return textwrap.wrap(f"gain by ranking {gains}", WIDTH) + textwrap.wrap(
        f"in brackets the 95 % interval, had other images been drawn: {verdict}", WIDTH
    )
