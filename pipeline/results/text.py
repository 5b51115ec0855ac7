"""What all tables of text share: their width, aligned columns, and how numbers are written."""

import math
from collections.abc import Sequence
from typing import Final

WIDTH: Final = 80
"""Columns of a terminal that every table fits into, for the usual names."""

NONE: Final = "-"
"""What is shown where there is no number."""


def aligned(lines: Sequence[Sequence[str]], num_words: int = 1) -> list[str]:
    """Lines of equal length: the first columns are words, flush left; all others numbers, flush right."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return [
        " ".join(
            cell.ljust(width) if column < num_words else cell.rjust(width + (column > 0))
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        for line in lines
    ]


def percent(share: float) -> str:
    """A share of 0..1 in percent with one decimal, `100` without; a dash for NaN."""
    if math.isnan(share):
        return NONE
    return "100" if share >= 0.9995 else f"{100 * share:.1f}"


def points(difference: float) -> str:
    """A difference of two shares in points with its sign; a dash for NaN."""
    return NONE if math.isnan(difference) else f"{100 * difference:+.1f}"


def decimals(value: float) -> str:
    """A number with three decimals; a dash for NaN."""
    return NONE if math.isnan(value) else f"{value:.3f}"


def milliseconds(value: float) -> str:
    """Milliseconds to three digits or so: `0.12`, `1.2`, `1,234`."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 1 else f"{value:.2f}"


def counted(count: int, of: str) -> str:
    """A count with its noun: `1 image`, `2 images`."""
    return f"{count} {of}{'s' * (count != 1)}"


def size_words(num_bytes: int) -> str:
    """A size on disk in decimal units: `512 B`, `1.2 MB`, `34 GB`."""
    size, units = float(num_bytes), ["B", "kB", "MB", "GB", "TB"]
    while size >= 999.5 and len(units) > 1:
        size, units = size / 1000, units[1:]
    return f"{size:.1f} {units[0]}" if size < 9.95 and units[0] != "B" else f"{size:.0f} {units[0]}"
