"""`crface evaluate-resolutions`: AP of predicted and oracle confidence over image height (paper Figure 2)."""

import json
from typing import Any

import click

from workflows.cli.options import job_options, make_job
from workflows.cli.stage import StageCommand


class _ManyHeights(StageCommand):
    """A command that takes `--heights 240 480`; click itself wants the option repeated for each value."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        words: list[str] = []
        for word in args:
            if word.isdecimal() and words[-2:-1] == ["--heights"]:
                words.append("--heights")
            words.append(word)
        return super().parse_args(ctx, words)


@click.command("evaluate-resolutions", cls=_ManyHeights)
@job_options("data", "out")
@click.option(
    "--heights",
    multiple=True,
    type=click.IntRange(min=1, max=1 << 16),
    metavar="PX...",
    help="Image heights in pixels.  [default: 240 320 480 640 784 1024 1600]",
)
@job_options("config", "detector", "cluster", "split", "ground_truth")
@click.option("--json", "as_json", is_flag=True, help="Print every number as JSON on standard output.")
def evaluate_resolutions(heights: tuple[int, ...], as_json: bool, **options: Any) -> None:
    """Measure AP over image height (Figure 2).

    Prints and stores predicted and oracle AP. Every image is resized to each height, keeping its aspect ratio, and
    detected in one pass; only what is not cached yet is computed. The table is stored as results/resolutions.parquet,
    and the next `crface report` shows the figure. On the embedded data set, `--split large` generates and uses images
    of single large faces.

    \b
    Example:  crface evaluate-resolutions --data /data/WIDER_FACE --heights 480 784 1024 1600
              crface evaluate-resolutions --split large --heights 128 256 512 1024 2048
    """
    from workflows.commands import evaluate_resolutions as command

    rows = command.evaluate_resolutions(
        make_job(**options), heights or command.DEFAULT_HEIGHTS_PX, show=not as_json
    )
    if as_json:
        click.echo(json.dumps(rows, indent=2))
