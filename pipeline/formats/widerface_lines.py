"""The lines of text results, `x y w h score`: many files at once, line by line where something is wrong."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float

from crface.text import MAX_QUOTED, quoted

Kind = Literal[
    "unknown event",
    "unknown image",
    "ambiguous name",
    "doubled file",
    "empty file",
    "no text",
    "wrong name",
    "no count",
    "wrong count",
    "bad line",
    "not finite",
    "negative size",
]

_COLUMNS = 5
_FIRST_LINE = 3
"""The number of a file's first line below name and count."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake in a folder of results."""

    path: Path
    line: int
    """Line number from 1; 0 for the file as a whole."""
    kind: Kind
    reason: str

    def __str__(self) -> str:
        where = f" line {self.line}" if self.line else ""
        return f"{self.path}{where}: {self.kind}: {self.reason}"


@dataclass(frozen=True, slots=True)
class Body:
    """The part of one file below name and count."""

    path: Path
    text: bytes
    """Lines separated by newlines, none after the last."""
    count: int | None
    """Number of lines that there should be; None if unknown."""


def parse_bodies(bodies: Sequence[Body]) -> tuple[list[Float[np.ndarray, "_ 5"]], list[Problem]]:
    """Each file's rows `x y w h score` in its order, and everything that is wrong; a wrong line has no row."""
    rows = _at_once(bodies)
    problems: list[Problem] = []
    for position, body in enumerate(bodies):
        if rows[position] is None:
            rows[position], complaints = _line_by_line(body)
            problems += complaints
    return [row for row in rows if row is not None], problems


def _at_once(bodies: Sequence[Body]) -> list[Float[np.ndarray, "_ 5"] | None]:
    """The rows of all files that look right, parsed fast as one text; None for a file that needs a closer look."""
    # loadtxt would end a line at a carriage return inside it, and shift the next file's rows
    is_plain = [body.count == _num_lines(body.text) and b"\r" not in body.text for body in bodies]
    plain = [body for body, is_one in zip(bodies, is_plain, strict=True) if is_one]
    text = b"\n".join(body.text for body in plain if body.text)
    counts = [body.count or 0 for body in plain]
    values = np.zeros((0, _COLUMNS))
    if text:
        try:
            values = np.loadtxt(io.BytesIO(text), ndmin=2, comments=None, encoding="utf-8")
        except ValueError:  # one of the files is wrong; it does not say which
            return [None] * len(bodies)
    if values.shape != (sum(counts), _COLUMNS):
        return [None] * len(bodies)
    is_right = ~_is_not_finite(values) & ~_is_negative(values)
    stops = np.cumsum([0, *counts])
    num_wrong = np.concatenate([[0], np.cumsum(~is_right)])[stops]
    files = iter(zip(stops[:-1].tolist(), stops[1:].tolist(), np.diff(num_wrong).tolist(), strict=True))
    rows: list[Float[np.ndarray, "_ 5"] | None] = []
    for is_one in is_plain:
        start, stop, wrong = next(files) if is_one else (0, 0, 1)
        rows.append(None if wrong else values[start:stop])
    return rows


def _line_by_line(body: Body) -> tuple[Float[np.ndarray, "_ 5"], list[Problem]]:
    rows: list[list[float]] = []
    problems = []
    num_lines = 0
    for number, line in enumerate(body.text.split(b"\n"), start=_FIRST_LINE):
        columns = line.split()
        if not columns:
            continue
        num_lines += 1
        complaint = _complaint(columns)
        if complaint is None:
            rows.append([float(column) for column in columns])
        else:
            shown = quoted(line.strip()[: MAX_QUOTED + 1].decode(errors="replace"))
            problems.append(Problem(body.path, number, complaint[0], f"{complaint[1]}, found {shown}"))
    if body.count is not None and num_lines != body.count:
        reason = f"it says {body.count} detections, but has {num_lines} lines of them"
        problems.append(Problem(body.path, 2, "wrong count", reason))
    return np.array(rows, dtype=np.float64).reshape(-1, _COLUMNS), problems


def _complaint(columns: Sequence[bytes]) -> tuple[Kind, str] | None:
    expected: tuple[Kind, str] = ("bad line", f"expected {_COLUMNS} numbers x y w h score")
    # float() accepts 1_000, which no other reader of these files does
    if len(columns) != _COLUMNS or any(b"_" in column for column in columns):
        return expected
    try:
        row = np.array([[float(column) for column in columns]])
    except ValueError:
        return expected
    if _is_not_finite(row)[0]:
        return "not finite", "a number is NaN or infinite"
    if _is_negative(row)[0]:
        return "negative size", "a width or height is below 0 (the columns are x y w h score)"
    return None


def _num_lines(text: bytes) -> int:
    return text.count(b"\n") + 1 if text else 0


def _is_not_finite(values: Float[np.ndarray, "row 5"]) -> Bool[np.ndarray, " row"]:
    return np.asarray(~np.isfinite(values).all(axis=1))


def _is_negative(values: Float[np.ndarray, "row 5"]) -> Bool[np.ndarray, " row"]:
    return np.asarray((values[:, 2:4] < 0).any(axis=1))
