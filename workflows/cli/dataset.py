"""`crface dataset`: make the embedded data set, index a data set, check one."""

from pathlib import Path
from typing import Any

import click

from workflows.cli.options import job_options, make_job


@click.group()
def dataset() -> None:
    """Make the embedded data set, index a data set, check one."""


@dataset.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.option(
    "--config",
    default="demo",
    show_default=True,
    metavar="NAME|FILE",
    help="Where the defaults of the following come from.",
)
@click.option("--seed", type=click.IntRange(min=0), help="Seed of everything that is drawn.")
@click.option("--train-images", type=click.IntRange(min=1), help="Images in the train split.")
@click.option("--val-images", type=click.IntRange(min=1), help="Images in the val split.")
@click.option("--long-side-px", type=click.IntRange(min=96), help="Longer side of every image, pixels.")
@click.option(
    "--difficulty", type=click.FloatRange(0.0, 1.0), help="0: clear faces only; 1: blurred, dark, covered."
)
def make(folder: Path, config: str, **values: Any) -> None:
    """Make the embedded data set in FOLDER, in WIDER FACE's layout.

    \b
    Example:  crface dataset make data/embedded --seed 1 --train-images 2000
    """
    from pipeline.config import load_config
    from workflows.data import make_embedded

    settings = load_config(config).dataset
    chosen = {name: value for name, value in values.items() if value is not None}
    make_embedded(folder.absolute(), type(settings).model_validate({**settings.model_dump(), **chosen}))


@dataset.command()
@job_options("data", "out", "config")
def index(**options: Any) -> None:
    """Read a data set's annotations and images into the workspace's index.

    New images get new rows at the end; images that cannot be read are named and left out by later stages.

    \b
    Example:  crface dataset index --data /data/WIDER_FACE
    """
    from workflows import stages

    stages.index(make_job(**options))


@dataset.command()
@click.argument("folder", type=click.Path(path_type=Path))
def validate(folder: Path) -> None:
    """Check a data set: its layout, every annotation, every image; exit status 1 when something is wrong.

    \b
    Example:  crface dataset validate /data/WIDER_FACE
    """
    from workflows import validation

    validation.validate(folder)
