"""`crface status` and `crface clean`: what is in a workspace, and what of it nothing refers to any more."""

import json
import sys
from typing import Any

import click

from pipeline.errors import UsageError
from workflows.cli.options import job_options, make_job
from workflows.cli.stage import StageCommand


@click.command(cls=StageCommand)
@job_options("out", "config")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON on standard output.")
@job_options("data", "detector", "protocol", "ranker", "split", "ground_truth", "no_gate")
def status(as_json: bool, **options: Any) -> None:
    """Show what is stored, and what is stale.

    Lists the pieces of the workspace with their sizes on disk. A piece is current if the configuration refers to it;
    used by results if only stored results or imports do; else unused. What is missing or out of date is listed below.
    Nothing is written, and no image is looked at.

    \b
    Example:  crface status --out runs/demo
    """
    from workflows.commands import status as command

    found = command.status(make_job(**options), show=not as_json)
    if as_json:
        click.echo(json.dumps(found, indent=2))


@click.command(cls=StageCommand)
@job_options("out")
@click.option("--dry-run", "is_dry_run", is_flag=True, help="Say what would be removed, and remove nothing.")
@click.option("--yes", "is_yes", is_flag=True, help="Remove without asking.")
@job_options("config", "data", "detector", "protocol", "ranker", "split", "ground_truth", "no_gate")
def clean(is_dry_run: bool, is_yes: bool, **options: Any) -> None:
    """Remove what nothing refers to any more.

    Candidates, refined confidences, rankers and subsets that neither this configuration nor any stored result refers
    to (such as those of earlier weights) are listed, and removed if you agree. Give the options that the workspace
    was made with. Images, indexes, imports, results, the report, and files that crface did not write are left alone.

    \b
    Example:  crface clean --out runs/demo --dry-run
              crface clean --out runs/demo --yes
    """
    from workflows.commands import clean as command

    def is_agreed() -> bool:
        if is_yes:
            return True
        if not sys.stdin.isatty():
            raise UsageError("there is no terminal to ask on: add --yes to remove these, or --dry-run")
        return click.confirm("Remove them?", default=False)

    command.clean(make_job(**options), is_dry_run=is_dry_run, is_agreed=is_agreed)
