"""`crface evaluate-protocols`: single, multi, rank, 8k and rank-8k over the same images (paper Tables 3 and 4)."""

import json
from typing import Any

import click

from workflows.cli.options import job_options, make_job
from workflows.cli.stage import StageCommand


@click.command("evaluate-protocols", cls=StageCommand)
@job_options("data", "out", "config", "detector", "cluster", "ranker", "split", "ground_truth")
@click.option("--json", "as_json", is_flag=True, help="Print every number as JSON on standard output.")
def evaluate_protocols(as_json: bool, **options: Any) -> None:
    """Compare protocols and rankers.

    Prints and stores AP and milliseconds of all of them on the same images (paper Tables 3 and 4). [comparison] in the
    configuration names protocols, rankers and the number of images. Only what is neither cached nor trained is
    computed. The table is stored as results/protocols.parquet and shown in the next `crface report`.

    \b
    Example:  crface evaluate-protocols
              crface evaluate-protocols --data /data/WIDER_FACE --config paper --json
    """
    from workflows.commands import evaluate_protocols as command

    rows = command.evaluate_protocols(make_job(**options), show=not as_json)
    if as_json:
        click.echo(json.dumps(rows, indent=2))
