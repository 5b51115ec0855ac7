"""`crface` without a command: in a few lines, what to do next in this folder."""

import json
import shlex
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import click

from crface.text import cropped
from pipeline.errors import UserError
from pipeline.results.text import counted

_REMEMBERED: Final = (
    "--data",
    "--config",
    "--detector",
    "--protocol",
    "--ranker",
    "--split",
    "--ground-truth",
)
"""Options of the last command that its successors need too."""
_COMMANDS: Final = {"import": "import-candidates"}
"""The commands of the stages that have another name."""
_MAX_FOLDERS: Final = 100


def say_what_is_next() -> None:
    """Print it: for the workspace in runs/ that was used last, else for what lies in the folder."""
    here = Path()
    used = sorted(
        {path.parent.parent for path in here.glob("runs/*/dataset/*.parquet")}, key=_last_used, reverse=True
    )
    lines = _of_workspace(used[0], len(used) - 1) if used else _of_empty_folder(here)
    click.echo("\n".join([*lines, "all commands: crface --help"]))


def _of_empty_folder(here: Path) -> list[str]:
    found = next((folder for folder in _folders(here) if _is_data_set(folder)), None)
    data = shlex.quote(str(found)) if found else "FOLDER"
    what = (
        f"{data} is a data set in WIDER FACE's layout" if found else "with WIDER FACE or photographs of yours"
    )
    return [
        "Nothing is computed in this folder yet: it has no workspace in runs/.",
        "the whole job on generated pictures, in minutes:  crface demo",
        f"{what}:  crface cache --data {data}",
        f"is this machine ready for it:  crface doctor{f' --data {data}' if found else ''}",
    ]


def _of_workspace(folder: Path, num_others: int) -> list[str]:
    from workflows.cli.options import make_job
    from workflows.commands.next_steps import next_steps

    command = _last_command(folder)
    remembered = _options(command)
    others = f", and {counted(num_others, 'other workspace')}" if num_others else ""
    lines = [
        f"in this folder: {folder}{others}"
        + (f"; last command: {cropped(shlex.join(command))}" if command else "")
    ]
    try:
        entries = next_steps(make_job(out=folder, **_arguments(remembered)))
    except UserError as error:
        return [*lines, f"what comes next is not clear: {error}"]
    stages = list(dict.fromkeys(entry.stage for entry in entries))
    todo = [stage for stage in stages if any(entry.todo for entry in entries if entry.stage == stage)]
    done = [stage for stage in stages if stage not in todo]
    words = shlex.join(word for pair in remembered for word in pair)
    place = "" if folder == _default_folder(remembered) else f" --out {shlex.quote(str(folder))}"
    options = f"{place}{f' {words}' if words else ''}"
    if not todo:
        return [
            *lines,
            f"done: {', '.join(done)}; nothing is out of date",
            f"look at it: {folder / 'report' / 'index.html'}",
            f"or at all images: crface view {shlex.quote(str(folder))}",
        ]
    first = next(entry for entry in entries if entry.todo)
    reason = f" ({first.reasons[0]})" if first.reasons else ""
    return [
        *lines,
        f"done: {', '.join(done) or 'only the index'}; to do: {', '.join(todo)}",
        f"next, {first.what or first.stage}: {first.todo}{reason}",
        f"  crface {_COMMANDS.get(first.stage, first.stage)}{options}",
    ]


def _last_used(workspace: Path) -> float:
    lock = workspace / ".lock"
    return (lock if lock.exists() else workspace).stat().st_mtime


def _last_command(workspace: Path) -> list[str]:
    """The words of the last command that wrote to a workspace; none where that is not recorded."""
    try:
        command = str(json.loads((workspace / ".lock").read_bytes())["command"])
        return shlex.split(command) if command.isprintable() else []  # a terminal obeys some characters
    except (OSError, ValueError, KeyError, TypeError):
        return []


def _options(command: list[str]) -> list[tuple[str, str]]:
    """The remembered options in a command, `--name value` or `--name=value`."""
    found = []
    for word, after in pairwise([*command, ""]):
        name, has_value, value = word.partition("=")
        if name in _REMEMBERED and (has_value or after):
            found.append((name, value if has_value else after))
    return found


def _arguments(options: list[tuple[str, str]]) -> dict[str, Any]:
    """The remembered options as `make_job` takes them."""
    found: dict[str, Any] = {}
    for name, value in options:
        key = name[2:].replace("-", "_")
        if key == "detector":
            found[key] = (*found.get(key, ()), value)
        else:
            found[key] = Path(value) if key in ("data", "ranker", "ground_truth") else value
    return found


def _default_folder(options: list[tuple[str, str]]) -> Path:
    """The workspace that a command with these options and without --out would use."""
    data = dict(options).get("--data")
    return Path("runs") / (Path(data).absolute().name if data else "demo")


def _folders(here: Path) -> list[Path]:
    found = [path for path in (*here.glob("*"), *here.glob("data/*")) if path.is_dir()]
    return [here, *sorted(found)[:_MAX_FOLDERS]]


def _is_data_set(folder: Path) -> bool:
    return any((folder / f"WIDER_{split}" / "images").is_dir() for split in ("train", "val", "test"))
