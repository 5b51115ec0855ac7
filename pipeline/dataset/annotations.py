"""The annotation text of WIDER FACE (`wider_face_<split>_bbx_gt.txt`), read with all its quirks."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from jaxtyping import Float32, Int8

from crface.array_shapes import FaceMask
from crface.text import cropped, decode_text, quoted
from pipeline.errors import UserError

ATTRIBUTES = ("blur", "expression", "illumination", "invalid", "occlusion", "pose")
"""The columns after x y w h, in the file's order."""

_MAX_COORDINATE = 1_000_000.0  # far beyond the 65,535 pixels of a JPEG's side
_INVALID = ATTRIBUTES.index("invalid")
_COLUMNS = (4, 4 + len(ATTRIBUTES))
_NO_FACE = [["0"] * columns for columns in _COLUMNS]  # WIDER FACE's line for an image without faces


@dataclass(frozen=True, slots=True, eq=False)
class Annotation:
    """One image's labels: G faces, in the order of the file; G may be 0."""

    path: str
    """The image's path relative to the image folder, with forward slashes: `event/name.jpg`."""
    faces: Float32[np.ndarray, "face 4"]
    """x1 y1 x2 y2 in stored pixels, x2 = x + w; may reach beyond the image and may have no area."""
    attributes: Int8[np.ndarray, "face 6"]
    """The columns of ATTRIBUTES; zeros if the file has only x y w h."""

    @property
    def is_valid(self) -> FaceMask:
        """Which faces count: those not flagged invalid, with positive width and height."""
        has_area = (self.faces[:, 2:] > self.faces[:, :2]).all(axis=1)
        return np.asarray(has_area & (self.attributes[:, _INVALID] == 0))


def record(path: str, faces: Sequence[Sequence[str]]) -> list[str]:
    """The lines of one image in an annotation text: its path, its number of faces, and each face's numbers.

    `faces` are the columns x y w h and those of ATTRIBUTES, as written; without any, WIDER FACE has a line of zeros.
    """
    return [path, str(len(faces)), *(" ".join(face) for face in faces or _NO_FACE[-1:])]


def parse_annotations(data: bytes, source: Path | str) -> list[Annotation]:
    """The annotations of a file, one per image, in the file's order; none for an empty file.

    A record is a name, a count, and `count` rows of `x y w h` with or without the six attributes. Quirks found
    in the wild are accepted: a byte-order mark, UTF-16, CRLF, trailing spaces, blank lines, decimals, boxes without
    area or beyond the image, and either a row of zeros or no row for an image without faces.

    Raises UserError naming `source` and the line for anything else: a wrong count; a value that is no number,
    NaN or beyond a million; a negative width or height (as a file of corners x1 y1 x2 y2 would have); an
    attribute that is no small whole number; a repeated name; and a name that could leave the image folder
    (absolute, or with `..`, a backslash, a drive letter or a NUL).
    """
    try:
        text = decode_text(data)
    except UnicodeDecodeError as error:
        raise UserError(
            f"{source} is not UTF-8 text (byte {error.start}): is it an annotation file?"
        ) from error
    # not splitlines(), which also splits at separators that a file name may contain
    lines = enumerate(text.replace("\r\n", "\n").split("\n"), start=1)
    numbered = [_Line(number, stripped) for number, line in lines if (stripped := line.strip())]
    annotations = _annotations(list(_records(numbered, source)), source)
    seen: set[str] = set()
    for annotation in annotations:
        if annotation.path in seen:
            raise UserError(
                f"{source} lists the image {cropped(annotation.path)} twice: keep one of the two records"
            )
        seen.add(annotation.path)
    return annotations


@dataclass(frozen=True, slots=True)
class _Line:
    number: int
    text: str


_Record = tuple[str, list[_Line], list[list[float]]]
"""An image's path, the lines of its faces, and their numbers: ten each."""


def _records(lines: list[_Line], source: Path | str) -> Iterator[_Record]:
    position = 0
    while position < len(lines):
        name = lines[position]
        path = _safe_path(name, source)
        if position + 1 == len(lines) or not re.fullmatch("[0-9]{1,9}", lines[position + 1].text):
            raise UserError(
                f"{source} line {name.number}: no count of faces follows the image {quoted(name.text)}"
            )
        count = int(lines[position + 1].text)
        position += 2
        if count == 0 and position < len(lines) and lines[position].text.split() in _NO_FACE:
            position += 1
        rows = lines[position : position + count]
        if len(rows) < count:
            raise UserError(
                f"{source} ends after {len(rows)} of the {count} faces of {cropped(path)}: is the file cut?"
            )
        yield path, rows, [_numbers(row, path, source) for row in rows]
        position += count


def _annotations(records: Sequence[_Record], source: Path | str) -> list[Annotation]:
    """The annotations of records, whose numbers are looked at all at once: one by one takes five times as long."""
    lines = [(path, row) for path, rows, _ in records for row in rows]
    values = np.array([own for _, _, numbers in records for own in numbers], dtype=np.float64)
    values = values.reshape(-1, max(_COLUMNS))
    box, size, attributes = values[:, :4], values[:, 2:4], values[:, 4:]
    for is_bad, complaint in (
        (
            ~(np.abs(box) <= _MAX_COORDINATE).all(axis=1),
            "coordinates that are no finite numbers below a million",
        ),
        ((size < 0).any(axis=1), "a negative width or height; the columns are x y w h"),
        (
            ~((np.abs(attributes) <= 127) & (attributes == np.round(attributes))).all(axis=1),
            "attributes that are no small whole numbers",
        ),
    ):
        if is_bad.any():
            path, row = lines[int(np.argmax(is_bad))]
            raise _bad_row(row, complaint, path, source)
    faces = np.concatenate([box[:, :2], box[:, :2] + size], axis=1).astype(np.float32)
    small = attributes.astype(np.int8)
    ends = np.cumsum([len(rows) for _, rows, _ in records], dtype=np.int64).tolist()
    return [
        Annotation(path, faces[end - len(rows) : end], small[end - len(rows) : end])
        for (path, rows, _), end in zip(records, ends, strict=True)
    ]


def _numbers(row: _Line, path: str, source: Path | str) -> list[float]:
    columns = row.text.split()
    if len(columns) not in _COLUMNS:
        raise _bad_row(row, f"{len(columns)} columns instead of 10 (or 4: x y w h)", path, source)
    if "_" in row.text or not row.text.isascii():  # float() accepts 1_000, which no other reader does
        raise _bad_row(row, "not all numbers", path, source)
    try:
        numbers = [float(column) for column in columns]
    except ValueError:
        raise _bad_row(row, "not all numbers", path, source) from None
    return numbers + [0.0] * (max(_COLUMNS) - len(numbers))


def _bad_row(row: _Line, complaint: str, path: str, source: Path | str) -> UserError:
    return UserError(
        f"{source} line {row.number}: expected a face of {cropped(path)}, found {quoted(row.text)}: {complaint}"
    )


def _safe_path(line: _Line, source: Path | str) -> str:
    """A name in normal form; UserError unless it stays below the image folder on every operating system."""
    name, where = line.text, f"{source} line {line.number}"
    if _are_numbers(name.split()):
        raise UserError(f"{where}: expected an image's name, found numbers: does the count above them agree?")
    if name.startswith("/") or re.match(r"[A-Za-z]:", name) or "\\" in name or "\0" in name:
        raise UserError(
            f"{where}: {quoted(name)} is no path relative to the image folder (event/name.jpg, with forward "
            "slashes): refused"
        )
    path = PurePosixPath(name)
    if ".." in path.parts or not path.parts:
        raise UserError(f"{where}: {quoted(name)} leads out of the image folder: refused")
    return path.as_posix()


def _are_numbers(columns: list[str]) -> bool:
    try:
        [float(column) for column in columns]
    except ValueError:
        return False
    return True
