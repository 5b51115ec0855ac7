"""`crface detectors` and `crface train-detector`."""

import json
from typing import Any

import click

from workflows.cli.options import job_options, make_job


@click.command("detectors")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON on standard output.")
def list_detectors(as_json: bool) -> None:
    """List the detectors that are available, and their shipped weights.

    \b
    Example:  crface detectors
    """
    import detectors

    found = detectors.available()
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    for name, description in found.items():
        click.echo(f"{name}: {description}")
    click.echo("Your own: package.module:Class, or an entry point in the group crface.detectors.")


@click.command("train-detector")
@job_options("data", "out")
@click.option("--detector", default="retinaface-mobilenet0.25", show_default=True, metavar="NAME")
@click.option(
    "--recipe",
    default="retinaface-mobilenet0.25",
    show_default=True,
    metavar="NAME|FILE",
    help="How it is trained: a shipped recipe or a TOML file.",
)
@click.option(
    "--threads", default=1, show_default=True, type=click.IntRange(1), help="Threads that read and augment."
)
def train_detector(detector: str, recipe: str, threads: int, **options: Any) -> None:
    """Train a detector on the train split, from random weights.

    An interrupted training goes on from its last checkpoint, bit for bit on a CPU.

    \b
    Example:  crface dataset make data/embedded --seed 1000 --train-images 3000 --val-images 200
              crface train-detector --data data/embedded --out runs/detector
    """
    from workflows import detector_training

    detector_training.train_detector(make_job(**options), detector, recipe, threads)
