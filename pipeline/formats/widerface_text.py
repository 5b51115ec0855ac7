"""WIDER FACE's text results: one file an image, `<event>/<image>.txt`, of a name, a count, and `x y w h score` lines.

Read as found in the wild: trailing spaces, CRLF, blank lines, a byte-order mark, UTF-16, an image's name with or
without its folder and its ending, lines in any order. Anything else that is wrong is a `Problem`. Detections are
sorted on reading and on writing: evaluators that expect sorted lines give meaningless figures otherwise.
"""

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

import numpy as np
from jaxtyping import Float

from crface.text import cropped, decode_text, marked_encoding, quoted
from pipeline.dataset.names import could_be_named, match_names
from pipeline.errors import UserError
from pipeline.formats.widerface_lines import Body, Problem, parse_bodies

_SUFFIX: Final = ".txt"
_NAMED: Final = 10  # problems named in an error; the others are only counted


@dataclass(frozen=True, slots=True, eq=False)
class TextResults:
    """What a folder of text results holds."""

    detections: Mapping[str, Float[np.ndarray, "_ 5"]]
    """By image: `x y w h score`, highest score first, equal scores in the file's order."""
    problems: tuple[Problem, ...]
    """Everything that was wrong and is left out; empty unless read leniently."""
    num_unsorted: int
    """Files whose lines were not sorted by score."""


@dataclass(frozen=True, slots=True)
class ResultFiles:
    """The files of a folder of text results, by image."""

    folder: Path
    paths: Mapping[str, Path]
    """By image, under the name that it was looked for as."""
    problems: tuple[Problem, ...]
    """Files of no known image, of an image that has another file, or of one of several images."""


def find_results(folder: Path, names: Iterable[str], image_folder: str = "") -> ResultFiles:
    """The result files of the images `names` (`event/stem`), matched as `match_names` does; none is opened.

    Files with another suffix than `.txt` are passed over, and so are hidden ones that are of no image.

    Raises UserError if the folder cannot be read, or has no result file at all.
    """
    known = set(names)
    events = {name.rpartition("/")[0] for name in known}
    files: dict[str, Path] = {}
    problems: list[Problem] = []
    for path in sorted(_text_files(folder)):
        name = path.relative_to(folder).as_posix()[: -len(_SUFFIX)]
        if files.setdefault(name, path) != path:  # a.TXT and a.txt
            problems.append(_doubled(path, files[name]))
    matches = match_names(files, known, image_folder)
    for name in files.keys() - matches.found.keys():
        path = files[name]
        if name in matches.doubled:
            problems.append(_doubled(path, files[matches.doubled[name]]))
        elif name in matches.ambiguous:
            one, other_image = matches.ambiguous[name]
            problems.append(Problem(path, 0, "ambiguous name", f"it could be of {one} or {other_image}"))
        elif any(part.startswith(".") for part in path.relative_to(folder).parts):
            continue
        elif name.rpartition("/")[0] in events:
            problems.append(Problem(path, 0, "unknown image", "the ground truth has no such image"))
        else:
            problems.append(Problem(path, 0, "unknown event", "the ground truth has no such event"))
    problems.sort(key=lambda problem: problem.path)
    paths = {image: files[name] for name, image in sorted(matches.found.items())}
    if not paths and not problems:
        raise UserError(f"{folder} has no result files: expected <event>/<image>.txt in it")
    if not paths:
        raise UserError(
            f"none of the {len(problems)} result files in {folder} is of an image of the ground truth (the first "
            f"is {problems[0].path.relative_to(folder)}, an image is {min(known)}): give the folder of the events"
        )
    return ResultFiles(folder, paths, tuple(problems))


def read_results(files: ResultFiles, *, is_lenient: bool = False) -> TextResults:
    """The detections in the files of `find_results`.

    Read leniently, what is wrong is left out and counted: a bad line costs that line, an unknown or doubled
    file costs that file.

    Raises UserError with file, line and reason of the first problems, unless lenient, and for a file that
    cannot be opened.
    """
    names = list(files.paths)
    bodies, problems = [], list(files.problems)
    for name, path in files.paths.items():
        body, complaints = _split(path, name)
        bodies.append(body)
        problems += complaints
    parsed, complaints = parse_bodies(bodies)
    problems += complaints
    if problems and not is_lenient:
        raise _refusal(files.folder, sorted(problems, key=lambda problem: (problem.path, problem.line)))
    detections, num_unsorted = {}, 0
    for name, rows in zip(names, parsed, strict=True):
        scores = rows[:, 4]
        is_sorted = bool((scores[1:] <= scores[:-1]).all())
        num_unsorted += not is_sorted
        detections[name] = rows if is_sorted else rows[np.argsort(-scores, kind="stable")]
    return TextResults(detections, tuple(problems), num_unsorted)


def write_results(folder: Path, detections: Mapping[str, Float[np.ndarray, "_ 5"]]) -> None:
    """Write detections `x y w h score` by image (`event/stem`), highest score first, one file an image.

    Boxes have three decimals, as is usual. Scores have nine significant digits, which is all of a float32: three
    decimals would make ties, and ties have no order.

    Raises UserError if the folder is not empty or cannot be written, for a negative size, and for a line break in a
    name; ValueError for a name that leads out of the folder.
    """
    try:
        if folder.exists() and any(folder.iterdir()):
            raise UserError(f"{folder} is not empty: results of two kinds would mix; give another folder")
        for name, rows in detections.items():
            if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
                raise ValueError(f"the image {quoted(name)} leads out of {folder}")
            if "\n" in name:
                raise UserError(
                    f"the image {quoted(name)} has a line break in its name, which no line of a text result can "
                    "hold: rename it, or export as COCO or Parquet"
                )
            if (rows[:, 2:4] < 0).any():
                raise UserError(
                    f"the image {name} has a box of negative size: no reader would accept {folder}"
                )
            ordered = rows[np.argsort(-rows[:, 4], kind="stable")].astype(np.float64).tolist()
            lines = [f"{x:.3f} {y:.3f} {w:.3f} {h:.3f} {score:.9g}" for x, y, w, h, score in ordered]
            path = folder / f"{name}.txt"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("\n".join([name, str(len(lines)), *lines, ""]), encoding="utf-8")
    except OSError as error:
        raise UserError(f"cannot write results to {folder}: {error.strerror or error}") from error


def count_problems(problems: Sequence[Problem]) -> dict[str, int]:
    """Number of problems of each kind, in order of first appearance."""
    counts: dict[str, int] = {}
    for problem in problems:
        counts[problem.kind] = counts.get(problem.kind, 0) + 1
    return counts


def _split(path: Path, name: str) -> tuple[Body, list[Problem]]:
    """What is below a file's first two lines, and what is wrong with those two."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"cannot read the results {path}: {error.strerror or error}") from error
    if encoding := marked_encoding(
        data
    ):  # without a mark, bytes that are no text make a bad line, not a bad file
        try:
            data = decode_text(data).encode()
        except UnicodeError:
            reason = f"its byte-order mark says {encoding}, which it is not"
            return Body(path, b"", None), [Problem(path, 0, "no text", reason)]
    first, _, rest = data.partition(b"\n")
    second, _, text = rest.partition(b"\n")
    text = text.replace(b"\r\n", b"\n").rstrip()
    problems = []
    if not data.strip():
        problem = Problem(
            path, 1, "empty file", "expected the image's name, a count, and lines x y w h score"
        )
        return Body(path, b"", None), [problem]
    named = first.decode(errors="replace").rstrip("\r")
    if not could_be_named(named, name):
        reason = f"expected the name of the image {cropped(name)}, found {quoted(named)}"
        problems.append(Problem(path, 1, "wrong name", reason))
    if not re.fullmatch(rb"[0-9]{1,9}", second.strip()):
        found = quoted(second.strip().decode(errors="replace"))
        problems.append(Problem(path, 2, "no count", f"expected the number of lines below, found {found}"))
        return Body(path, text, None), problems
    return Body(path, text, int(second)), problems


def _doubled(path: Path, other: Path) -> Problem:
    shown = other.name if other.parent == path.parent else other
    return Problem(path, 0, "doubled file", f"{shown} is of the same image")


def _text_files(folder: Path) -> Iterable[Path]:
    def refuse(error: OSError) -> None:
        raise UserError(f"cannot read the results {error.filename}: {error.strerror}") from error

    for parent, _, names in os.walk(folder, onerror=refuse):
        yield from (Path(parent, name) for name in names if name.lower().endswith(_SUFFIX))


def _refusal(folder: Path, problems: Sequence[Problem]) -> UserError:
    kinds = ", ".join(f"{count} x {kind}" for kind, count in count_problems(problems).items())
    named = "".join(f"\n  {problem}" for problem in problems[:_NAMED])
    more = f"\n  and {len(problems) - _NAMED} more" if len(problems) > _NAMED else ""
    return UserError(
        f"the results in {folder} have mistakes ({kinds}); mend them, or leave them out with --lenient:"
        f"{named}{more}"
    )
