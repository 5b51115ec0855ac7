"""`crface doctor`: checks before a long job."""

import json
import shutil
import textwrap
from typing import Any

import click

from pipeline.errors import UserError
from workflows.cli.options import job_options, make_job

_NAME_COLUMNS = 11


@click.command()
@job_options("data", "out", "config", "detector", "max_megapixels")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON on standard output.")
def doctor(as_json: bool, **options: Any) -> None:
    """Check this machine before a long job.

    Checks the machine, the data set and the detectors. Each detector runs on a small drawn picture: with shipped
    weights it must return the stored candidates; with other weights, finite and sorted ones inside the image that do
    not depend on the batch. The exit status is 1 if a check fails; warnings do not count.

    \b
    Example:  crface doctor --data /data/WIDER_FACE
              crface doctor --detector retinaface-mobilenet0.25@mine.safetensors
    """
    from workflows.doctor import Check, examine, is_healthy

    found: list[Check] = []
    for check in examine(make_job(**options)):
        found.append(check)
        if not as_json:
            click.echo(_text(check.status, check.name, check.found, check.advice))
    if as_json:
        checks = [check.as_json() for check in found]
        click.echo(json.dumps({"ok": is_healthy(found), "checks": checks}, indent=2))
    failed = [check.name for check in found if check.status == "fail"]
    if failed:
        raise UserError(f"not ready for a job: {', '.join(failed)}")


def _text(status: str, name: str, found: str, advice: str) -> str:
    """A check in two columns, on as many lines as it takes."""
    width = min(max(shutil.get_terminal_size().columns, 40), 100)
    indent = " " * (5 + _NAME_COLUMNS + 1)
    mark = f"{status.upper() if status != 'ok' else 'ok':5}"
    if len(name) > _NAME_COLUMNS:
        lines = [f"{mark}{name}", f"{indent}{found}"]
    else:
        lines = [f"{mark}{name:{_NAME_COLUMNS}} {found}"]
    if advice:
        lines.append(f"{indent}-> {advice}")
    return "\n".join(
        textwrap.fill(line, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)
        for line in lines
    )
