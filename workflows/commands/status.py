"""crface status: what is in a workspace, how large it is, who refers to it, and what is out of date."""

from collections.abc import Sequence
from itertools import groupby
from typing import Any

from pipeline.errors import UserError
from pipeline.results.text import aligned, counted, size_words
from pipeline.workspace.inventory import Piece
from workflows.commands.contents import Contents, contents_of, in_order
from workflows.commands.next_steps import next_steps
from workflows.commands.plan import Entry
from workflows.job.job import Job
from workflows.job.shown import show_table

_TITLES = {
    "index": "images",
    "candidates": "candidates",
    "ranker": "rankers",
    "scores": "refined confidences",
}
NOT_OF_CONFIGURATION = (
    "nothing here is of this configuration: repeat the --config, --data, --detector, --protocol, --split and --ranker "
    "that it was made with"
)


def status(job: Job, *, show: bool) -> dict[str, Any]:
    """What is in the job's workspace, as JSON values; with `show` also printed.

    Raises UserError when there is no workspace, or it is damaged.
    """
    contents = contents_of(job)
    entries, problem = _to_do(job)
    if show:
        show_table("\n".join(_lines(job, contents, entries, problem)))
    inventory = contents.inventory
    return {
        "workspace": str(job.workspace.root),
        "bytes": _total(contents),
        "pieces": [
            {**piece._asdict(), "state": contents.state(piece), "bytes": inventory.size(piece)}
            for piece in in_order(inventory.pieces)
        ],
        "others": {"files": len(inventory.others), "bytes": sum(inventory.others.values())},
        "is_of_configuration": contents.is_of_configuration,
        "to_do": [entry.as_json() for entry in entries],
        "problem": problem,
    }


def table(contents: Contents, pieces: Sequence[Piece]) -> list[str]:
    """Pieces with state and size as lines of text, those of a subset together; empty for none."""
    groups: list[tuple[str, list[list[str]]]] = []
    for title, found in groupby(pieces, key=_title):
        members = list(found)
        rows = [members] if members[0].subset else [[piece] for piece in members]
        groups.append((title, [[f"  {_words(row)}", *_state_and_size(contents, row)] for row in rows]))
    if not groups:
        return []
    heading, *lines = aligned([["", "state", "size"], *(row for _, rows in groups for row in rows)], 2)
    text = [heading]
    for title, cells in groups:
        text += [title, *lines[: len(cells)]]
        lines = lines[len(cells) :]
    return text


def summed(contents: Contents, pieces: Sequence[Piece]) -> str:
    """How many pieces, and how large they are together: `3 pieces, 1.2 MB`."""
    return f"{counted(len(pieces), 'piece')}, {size_words(sum(map(contents.inventory.size, pieces)))}"


def _to_do(job: Job) -> tuple[list[Entry], str]:
    """What is missing or out of date, and why that cannot be told if it cannot; else an empty string."""
    try:
        return [entry for entry in next_steps(job) if entry.todo], ""
    except UserError as error:
        return [], str(error)


def _lines(job: Job, contents: Contents, entries: Sequence[Entry], problem: str) -> list[str]:
    others = contents.inventory.others
    lines = [
        f"{job.workspace.root}: {size_words(_total(contents))}",
        "",
        *table(contents, in_order(contents.inventory.pieces)),
        f"{counted(len(others), 'other file')} (data set, report, ...): {size_words(sum(others.values()))}",
        "",
    ]
    if not contents.is_of_configuration:
        return [*lines, NOT_OF_CONFIGURATION]
    if contents.unused:
        lines.append(f"nothing refers to {summed(contents, contents.unused)}: `crface clean` removes them")
    if problem:
        return [*lines, f"what is to do is not clear: {problem}"]
    lines += [f"to do: {f'{entry.stage} {entry.what}'.rstrip()}: {entry.todo}" for entry in entries]
    return [*lines, "`crface plan` says why"] if entries else [*lines, "nothing is out of date"]


def _title(piece: Piece) -> str:
    return f"subset of {piece.subset} images" if piece.subset else _TITLES.get(piece.kind, piece.kind)


def _words(pieces: Sequence[Piece]) -> str:
    """What stands in the table, below the title: a fingerprint's eight digits tell pieces of one name apart."""
    first = pieces[0]
    if first.subset or first.kind in ("imports", "results"):
        return counted(len(pieces), "piece") if first.subset else "all"
    if not first.detector:
        return first.split or first.fingerprint
    protocol = "" if first.protocol == "single" else f", {first.protocol}"
    by = f" by {first.ranker[:8]}" if first.ranker else ""
    return f"{first.detector} on {first.split}{protocol} {first.fingerprint[:8]}{by}"


def _state_and_size(contents: Contents, pieces: Sequence[Piece]) -> list[str]:
    first = pieces[0]  # those of a subset share their state
    has_state = bool(first.subset) or first.kind in ("candidates", "scores", "ranker")
    state = contents.state(first) if has_state else ""
    return [state, size_words(sum(map(contents.inventory.size, pieces)))]


def _total(contents: Contents) -> int:
    inventory = contents.inventory
    return sum(map(inventory.size, inventory.pieces)) + sum(inventory.others.values())
