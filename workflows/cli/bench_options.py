"""What commands of `crface bench` share: options, and how they tell what they found."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from pipeline.workspace.writing import write_atomically
from workflows.job.shown import show_table

repeats_option = click.option(
    "--repeats",
    default=5,
    show_default=True,
    type=click.IntRange(1),
    help="Number of rounds; in each, every way has its turn.",
)
json_option = click.option(
    "--json",
    "json_file",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Also write all times to FILE, as JSON.",
)

long_side_option = click.option(
    "--long-side-px",
    default=640,
    show_default=True,
    type=click.IntRange(96, 4096),
    help="Long side of the images, pixels.",
)
detector_option = click.option(
    "--detector", default="retinaface-mobilenet0.25", show_default=True, metavar="NAME", help="Detector."
)


def refuse_unknown(detector: str) -> None:
    """Raise UsageError for a detector that there is not, or that lacks weights, before anything is measured."""
    from pipeline.cache.plan import detector_identity

    detector_identity(detector)


def tell(lines: Sequence[str], values: Any, json_file: Path | None) -> None:
    """Print the lines of a table, and write the values to a file as JSON if one is named."""
    if json_file is not None:
        write_atomically(json_file, (json.dumps(values, indent=1) + "\n").encode())
    show_table("\n".join(lines))
