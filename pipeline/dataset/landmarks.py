"""Landmarks of labelled faces, from a file in the format of RetinaFace's labels (Deng et al. 2019, section 4.1).

A line `# event/image.jpg` starts an image; each line after it is a face: `x y w h`, five times `x y` and a third
number that is not used here, and possibly one number more. Unknown landmarks are -1.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float32

from crface.text import decode_text, quoted
from pipeline.dataset.index import ImageRow
from pipeline.dataset.names import match_names
from pipeline.errors import UserError

_NUM_POINTS = 5
_FIRST, _LAST = 4, 4 + 3 * _NUM_POINTS


def read_landmarks(path: Path, rows: Sequence[ImageRow]) -> dict[int, Float32[np.ndarray, "_ 5 2"]]:
    """The landmarks (x, y) of the faces of each row that has any, NaN for faces without.

    A line belongs to the labelled face with the same box. Images that are not among the rows are skipped.

    Raises UserError when the file cannot be read, when a line is no face (with its number), and when no line
    belongs to a labelled face.
    """
    try:
        lines = decode_text(path.read_bytes()).splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read the landmarks {path}: {error}") from error
    by_image: dict[str, dict[tuple[float, ...], Float32[np.ndarray, "5 2"]]] = {}
    faces: dict[tuple[float, ...], Float32[np.ndarray, "5 2"]] | None = None
    for number, line in enumerate(lines, start=1):
        if line.startswith("#"):
            faces = by_image.setdefault(line[1:].strip(), {})
        elif line.strip():
            if faces is None:
                raise UserError(f"{path}, line {number}: a face before the first line `# event/image.jpg`")
            box, points = _face(path, number, line)
            if points is not None:
                faces[box] = points
    names = {path: name for name, path in match_names(by_image, (row.path for row in rows)).found.items()}
    labelled = {row.row: (row, by_image[names[row.path]]) for row in rows if row.path in names}
    found = {number: _of_row(row, boxes) for number, (row, boxes) in labelled.items() if boxes}
    found = {row: points for row, points in found.items() if np.isfinite(points).any()}
    if not found:
        raise UserError(f"no face of {path} is labelled in this data set: it is the file of another one")
    return found


def _face(path: Path, number: int, line: str) -> tuple[tuple[float, ...], Float32[np.ndarray, "5 2"] | None]:
    try:
        values = np.array([float(word) for word in line.split()], np.float32)
    except ValueError:
        values = np.zeros(0, np.float32)
    if len(values) not in (_LAST, _LAST + 1) or not np.isfinite(values).all():
        raise UserError(
            f"{path}, line {number}: a face is `x y w h`, five times `x y` and a number, and possibly one number more; "
            f"found {quoted(line)}"
        )
    points = values[_FIRST:_LAST].reshape(_NUM_POINTS, 3)[:, :2]
    return tuple(values[:_FIRST].tolist()), None if (points < 0).all() else points


def _of_row(
    row: ImageRow, faces: dict[tuple[float, ...], Float32[np.ndarray, "5 2"]]
) -> Float32[np.ndarray, "_ 5 2"]:
    unknown = np.full((_NUM_POINTS, 2), np.nan, np.float32)
    boxes = np.concatenate([row.faces[:, :2], row.faces[:, 2:] - row.faces[:, :2]], axis=1)
    return np.array([faces.get(tuple(box), unknown) for box in boxes.tolist()], np.float32).reshape(
        -1, _NUM_POINTS, 2
    )
