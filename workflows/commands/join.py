"""crface dataset join: several data sets as one, and what it holds."""

from collections.abc import Sequence
from pathlib import Path

import click

from pipeline.dataset.join import join
from pipeline.results.text import counted
from workflows.job.progress import shown_if_long


def run_join(sources: Sequence[Path], out: Path) -> None:
    """Write the joined data set, and print a line for each of its splits.

    Raises UserError as `pipeline.dataset.join.join` does.
    """
    with shown_if_long("join", "images") as progress:
        joined = join(sources, out, progress)
    for note in joined.notes:
        click.echo(f"  {note}", err=True)
    for split in joined.splits:
        labels = counted(split.num_faces, "face") if split.is_labelled else "no labels"
        click.echo(
            f"{split.split}: {counted(split.num_images, 'image')}, {labels}: {', '.join(split.sources)}"
        )
    click.echo(f"use it as --data {joined.root}")
