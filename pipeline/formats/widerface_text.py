"""WIDER FACE's text results: one file an image, `<event>/<image>.txt`, of a name, a count, and `x y w h score` lines.

Read as found in the wild: trailing spaces, CRLF, blank lines, an image's name with or without its folder and
its suffix, lines in any order. What is wrong beyond that is a `Problem`. Detections are sorted when they are
read and when they are written: evaluators that take them to be sorted answer nonsense otherwise.
"""

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

import numpy as np
from jaxtyping import Float

from pipeline.errors import UserError
from pipeline.formats.widerface_lines import Body, Problem, parse_bodies
from pipeline.images.header import SUFFIXES

_NAMED: Final = 10  # problems named in an error; of more, the number is said


@dataclass(frozen=True, slots=True, eq=False)
class TextResults:
    """What a folder of text results holds."""

    detections: Mapping[str, Float[np.ndarray, "_ 5"]]
    """By image, `event/stem`: `x y w h score`, highest score first, equal scores in the file's order."""
    problems: tuple[Problem, ...]
    """All that was wrong, and left out; empty unless it was read leniently."""
    num_unsorted: int
    """Files whose lines were not sorted by score."""


@dataclass(frozen=True, slots=True)
class ResultFiles:
    """The files of a folder of text results, by the image that they are of."""

    folder: Path
    paths: Mapping[str, Path]
    """By image, `event/stem`."""
    problems: tuple[Problem, ...]
    """Files that are of no known image, or of one that another file is of."""


def find_results(folder: Path, names: Iterable[str]) -> ResultFiles:
    """Find the result files of the images `names` (`event/stem`); nothing is opened.

    Files with another suffix than `.txt`, and hidden ones, are passed over.

    Raises UserError if the folder cannot be read, or has no result file at all.
    """
    known = set(names)
    events = {name.rpartition("/")[0] for name in known}
    paths: dict[str, Path] = {}
    problems: list[Problem] = []
    for path in sorted(_text_files(folder)):
        relative = path.relative_to(folder)
        name = relative.parent.joinpath(_without_suffix(relative.name.removesuffix(".txt"))).as_posix()
        if name in paths:
            problems.append(Problem(path, 0, "doubled file", f"{paths[name].name} is of the same image"))
        elif name in known:
            paths[name] = path
        elif relative.parent.as_posix() in events:
            problems.append(Problem(path, 0, "unknown image", "the ground truth has no such image"))
        else:
            problems.append(Problem(path, 0, "unknown event", "the ground truth has no such event"))
    if not paths and not problems:
        raise UserError(f"{folder} has no result files: expected <event>/<image>.txt in it")
    if not paths:
        raise UserError(
            f"none of the {len(problems)} result files in {folder} is of an image of the ground truth (the first "
            f"is {problems[0].path.relative_to(folder)}, an image is {min(known)}): give the folder of the events"
        )
    return ResultFiles(folder, paths, tuple(problems))


def read_results(files: ResultFiles, *, is_lenient: bool = False) -> TextResults:
    """Read the files of `find_results`.

    Leniently, what is wrong is left out and counted: a bad line costs that line, an unknown or doubled file
    that file.

    Raises UserError that names file, line and reason of the first problems, unless lenient; and where a file
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

    Boxes have three decimals, as is usual; scores nine significant digits, which is all of a float32: with
    three decimals equal scores would hide the order.

    Raises UserError if the folder has files already or cannot be written, and for a negative size; ValueError
    for a name that leads out of the folder.
    """
    try:
        if folder.exists() and any(folder.iterdir()):
            raise UserError(f"{folder} is not empty: results of two kinds would mix; give another folder")
        for name, rows in detections.items():
            if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
                raise ValueError(f"the image {name!r} leads out of {folder}")
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
    """Count problems by kind, in order of their first appearance."""
    counts: dict[str, int] = {}
    for problem in problems:
        counts[problem.kind] = counts.get(problem.kind, 0) + 1
    return counts


def _split(path: Path, name: str) -> tuple[Body, list[Problem]]:
    """Take a file apart, and check its first two lines."""
    try:
        with path.open("rb") as file:
            data = file.read()
    except OSError as error:
        raise UserError(f"cannot read the results {path}: {error.strerror or error}") from error
    first, _, rest = data.partition(b"\n")
    second, _, text = rest.partition(b"\n")
    text = text.replace(b"\r\n", b"\n").rstrip()
    problems = []
    named = first.strip().decode(errors="replace").removeprefix("\ufeff").replace("\\", "/")
    if not data.strip():
        problem = Problem(
            path, 1, "empty file", "expected the image's name, a count, and lines x y w h score"
        )
        return Body(path, b"", None), [problem]
    if _without_suffix(PurePosixPath(named).name) != PurePosixPath(name).name:
        reason = f"expected the name of the image {name}, found {named[:80]!r}"
        problems.append(Problem(path, 1, "wrong name", reason))
    if not re.fullmatch(rb"[0-9]{1,9}", second.strip()):
        found = second.strip()[:80].decode(errors="replace")
        problems.append(Problem(path, 2, "no count", f"expected the number of lines below, found {found!r}"))
        return Body(path, text, None), problems
    return Body(path, text, int(second)), problems


def _text_files(folder: Path) -> Iterable[Path]:
    def refuse(error: OSError) -> None:
        raise UserError(f"cannot read the results {error.filename}: {error.strerror}") from error

    for parent, folders, names in os.walk(folder, onerror=refuse):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (
            Path(parent, name) for name in names if name.endswith(".txt") and not name.startswith(".")
        )


def _without_suffix(name: str) -> str:
    stem, dot, suffix = name.rpartition(".")
    return stem if dot and f".{suffix.lower()}" in SUFFIXES else name


def _refusal(folder: Path, problems: Sequence[Problem]) -> UserError:
    kinds = ", ".join(f"{count} x {kind}" for kind, count in count_problems(problems).items())
    named = "".join(f"\n  {problem}" for problem in problems[:_NAMED])
    more = f"\n  and {len(problems) - _NAMED} more" if len(problems) > _NAMED else ""
    return UserError(
        f"the results in {folder} have mistakes ({kinds}); mend them, or leave them out with --lenient:"
        f"{named}{more}"
    )
