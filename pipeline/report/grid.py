"""A table as text cells, and the same table as CSV and as LaTeX: what the page shows is what its files hold."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, field

_TEX = {
    "\\": r"\textbackslash{}",
    **{letter: f"\\{letter}" for letter in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"$<$",
    ">": r"$>$",
    "±": r"$\pm$",
    "–": "--",  # noqa: RUF001 - the dash of an empty cell
}


@dataclass(frozen=True, slots=True)
class Row:
    """One line of cells."""

    cells: tuple[str, ...]
    is_strong: bool = False
    """Printed bold: the highest of its group, or what a paper prints so."""


@dataclass(frozen=True, slots=True)
class Group:
    """Rows that were measured on the same data."""

    label: str
    """On what data, and by whom."""
    rows: Sequence[Row]
    is_paper: bool = False


@dataclass(frozen=True, slots=True)
class Span:
    """A heading over neighbouring columns."""

    text: str
    first: int
    count: int


@dataclass(frozen=True, slots=True)
class Grid:
    """A table of text cells."""

    name: str
    """The stem of its files."""
    title: str
    columns: tuple[str, ...]
    num_words: int
    """The first columns are words, all others numbers."""
    groups: Sequence[Group]
    span: Span | None = None
    notes: Sequence[str] = field(default=())
    """Sentences that belong under it."""


def as_csv(grid: Grid) -> str:
    """The table as CSV: a line for each row, and first in it on what data the row was measured."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["measured on", *grid.columns])
    for group in grid.groups:
        writer.writerows([group.label, *row.cells] for row in group.rows)
    return text.getvalue()


def as_tex(grid: Grid) -> str:
    """The table as LaTeX for the package booktabs, with its title and notes as the caption."""
    number = len(grid.columns)
    caption = " ".join(_tex(f"{sentence.rstrip('.')}.") for sentence in (grid.title, *grid.notes))
    lines = [
        r"% \usepackage{booktabs}",
        r"\begin{table}",
        r"  \centering",
        rf"  \caption{{{caption}}}",
        rf"  \label{{tab:{grid.name}}}",
        rf"  \begin{{tabular}}{{{'l' * grid.num_words}{'r' * (number - grid.num_words)}}}",
        r"    \toprule",
        *(_span_lines(grid.span) if grid.span else []),
        f"    {_tex_row(grid.columns)}",
    ]
    for group in grid.groups:
        lines += [r"    \midrule", rf"    \multicolumn{{{number}}}{{l}}{{\emph{{{_tex(group.label)}}}}} \\"]
        lines += [f"    {_tex_row(row.cells, is_strong=row.is_strong)}" for row in group.rows]
    return "\n".join([*lines, r"    \bottomrule", r"  \end{tabular}", r"\end{table}", ""])


def with_strongest(rows: Sequence[tuple[str, ...]], column: int) -> list[Row]:
    """Rows of which those with the highest number in a column are strong; cells without a number never are."""
    values = [_number(cells[column]) for cells in rows]
    highest = max((value for value in values if value is not None), default=None)
    return [
        Row(cells, value is not None and value == highest) for cells, value in zip(rows, values, strict=True)
    ]


def _number(cell: str) -> float | None:
    try:
        return float(cell.partition(" ")[0])
    except ValueError:
        return None


def _span_lines(span: Span) -> list[str]:
    before, last = " & " * span.first, span.first + span.count
    return [
        rf"    {before}\multicolumn{{{span.count}}}{{c}}{{{_tex(span.text)}}} \\",
        rf"    \cmidrule(lr){{{span.first + 1}-{last}}}",
    ]


def _tex_row(cells: Sequence[str], *, is_strong: bool = False) -> str:
    texts = [_tex(cell) for cell in cells]
    if is_strong:
        texts = [rf"\textbf{{{text}}}" if text else "" for text in texts]
    return " & ".join(texts) + r" \\"


def _tex(text: str) -> str:
    return "".join(_TEX.get(letter, letter) for letter in " ".join(text.split()))
