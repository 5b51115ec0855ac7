"""`crface bench`: the benchmarks of docs/benchmarks.md."""

import json
from pathlib import Path

import click


@click.group()
def bench() -> None:
    """Measure how fast things are on this machine; every claim is a ratio within one run."""


@bench.command()
@click.option(
    "--ground-truth",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    metavar="FOLDER",
    help="The official .mat files.  [default: made-up faces]",
)
@click.option(
    "--images",
    "num_images",
    default=3226,
    show_default=True,
    type=click.IntRange(1),
    help="How many images of made-up faces; the default is the size of WIDER FACE's validation set.",
)
@click.option("--json", "as_json", is_flag=True, help="Print as JSON on standard output.")
def evaluation(ground_truth: Path | None, num_images: int, as_json: bool) -> None:
    """Measure WIDER FACE AP from arrays and from text files beside the protocol's literal form.

    The literal form takes each image, setting and threshold in turn, as the usual evaluator does: it runs for
    more than half a minute.

    \b
    Example:  crface bench evaluation
              crface bench evaluation --ground-truth /data/WIDER_FACE/ground_truth --json
    """
    from pipeline import bench_evaluation

    found = bench_evaluation.bench_evaluation(ground_truth, num_images)
    if as_json:
        click.echo(json.dumps(bench_evaluation.as_json(found), indent=2))
    else:
        click.echo("\n".join(bench_evaluation.as_lines(found)))
