"""Read detections in WIDER FACE's result format: a folder `<event>/<image>.txt`."""

import os
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import numpy as np
from jaxtyping import Float32

from pipeline.errors import UserError
from pipeline.foreign_results import ForeignResults, candidate_rows, complaint, without_ending


def read_text_results(folder: Path) -> ForeignResults:
    """Read every `.txt` file below a folder; the image is named by the file's place, `event/image`.

    A file holds the image's name, the number of boxes, and a line `x y w h score` a box, in any order.
    CRLF, blank lines, trailing spaces, and a name with or without folder and ending are accepted; every
    line that is not understood is named in `bad`.

    Raises UserError when the folder cannot be read or holds no such file.
    """
    files: list[Path] = []

    def fail(error: OSError) -> None:
        raise UserError(f"cannot read the results {error.filename}: {error.strerror or error}") from error

    for parent, folders, names in os.walk(folder, onerror=fail):
        folders.sort()
        files += [Path(parent, name) for name in sorted(names) if name.endswith(".txt")]
    if not files:
        raise UserError(f"{folder} holds no results: expected files <event>/<image>.txt, one for each image")
    boxes: dict[str, Float32[np.ndarray, "_ 5"]] = {}
    bad: list[str] = []
    for file in files:
        try:
            data = file.read_bytes()
        except OSError as error:
            bad.append(f"{file}: {error.strerror or error}")
            continue
        name = file.relative_to(folder).as_posix().removesuffix(".txt")
        found, complaints = parse_text_result(data, name)
        bad += [f"{file} {words}" for words in complaints]
        boxes[name] = found
    return ForeignResults(source=folder, boxes=boxes, bad=tuple(bad), can_name_empty=True)


def parse_text_result(data: bytes, name: str) -> tuple[Float32[np.ndarray, "_ 5"], list[str]]:
    """Give the candidates of one image's result file, and a complaint `line 3: ...` for each line that is none.

    `name` is the image that the file should be about, with or without its ending.
    """
    nothing = np.zeros((0, 5), np.float32)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        return nothing, [f"is not UTF-8 text (byte {error.start})"]
    stripped = enumerate(map(str.strip, text.split("\n")), start=1)
    numbered = [(number, line) for number, line in stripped if line]
    if len(numbered) < 2:
        return nothing, ["ends before the number of boxes; is it cut?"]
    (_, title), (count_line, count), *lines = numbered
    complaints = []
    if not _is_name_of(title, name):
        complaints.append(f"line 1: is about {title!r}, not {name}")
    if not count.isdecimal() or int(count) != len(lines):
        complaints.append(f"line {count_line}: announces {count!r} boxes where {len(lines)} lines follow")
    try:
        # all at once, which is ten times as fast as line by line
        values = np.array([line.split() for _, line in lines], np.float64).reshape(len(lines), -1)
        is_good = values.shape[1] == 5 and not any(complaint(row) for row in _extremes(values))
    except ValueError:
        is_good = False
    if not lines:
        return nothing, complaints
    if is_good:
        return candidate_rows(values), complaints
    return nothing, complaints + _complaints(lines)


def _is_name_of(title: str, name: str) -> bool:
    found, wanted = PurePosixPath(title).name, PurePosixPath(name).name
    # the ending may be missing on either side, and a name may have dots of its own
    return found in (wanted, without_ending(wanted)) or without_ending(found) == wanted


def _extremes(values: np.ndarray) -> Sequence[np.ndarray]:
    """Give two rows that are only good if all are; NaN spreads to both."""
    return values.min(axis=0), values.max(axis=0)


def _complaints(lines: Sequence[tuple[int, str]]) -> list[str]:
    complaints = []
    for number, line in lines:
        columns = line.split()
        if len(columns) != 5:
            complaints.append(f"line {number}: {len(columns)} columns instead of 5 (x y w h score)")
            continue
        try:
            words = complaint(np.array(columns, np.float64))
        except ValueError:
            words = "not all numbers"
        if words:
            complaints.append(f"line {number}: {words}")
    return complaints
