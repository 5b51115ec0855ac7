"""crface view: the local viewer."""

from typing import Any

import click

from pipeline.workspace.place import Place
from workflows.cli.options import PLACE, job_options, make_job


@click.command()
@click.argument("workspace", required=False, type=PLACE, metavar="[WORKSPACE]")
@click.option(
    "--port",
    default=8710,
    show_default=True,
    type=click.IntRange(0, 65535),
    help="Port of this machine that the page is served at; 0 for a free one.",
)
@job_options("data", "split", "ground_truth")
def view(workspace: Place | None, port: int, **options: Any) -> None:
    """Look through all images in a browser.

    A page on this machine shows every image of a split under every detector, before and after ranking, read from the
    workspace as you look; nothing leaves the machine. Ctrl-C ends it.

    \b
    Example:  crface view runs/demo
              crface view s3://bucket/run --port 0
    """
    from workflows.commands import view as command

    command.view(make_job(out=workspace, **options), port)
