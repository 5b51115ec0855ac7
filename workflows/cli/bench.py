"""`crface bench`: the benchmarks of docs/benchmarks.md."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from detectors.protocols import NAMES
from workflows.cli import bench_pairs, bench_whole
from workflows.cli.numbers import Number
from workflows.cli.options import job_options, make_job
from workflows.job.shown import show_table


@click.group()
def bench() -> None:
    """Measure speed and cost on this machine.

    Every claim is a ratio within one run.
    """


for command in (*bench_pairs.COMMANDS, *bench_whole.COMMANDS):
    bench.add_command(command)


@bench.command()
@click.option(
    "--ground-truth",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    metavar="FOLDER",
    help="Folder of the official .mat files.  [default: generated faces]",
)
@click.option(
    "--images",
    "num_images",
    default=3226,
    show_default=True,
    type=click.IntRange(1),
    help="Number of images with generated faces; the default is the size of WIDER FACE's validation set.",
)
@click.option("--json", "as_json", is_flag=True, help="Print as JSON on standard output.")
def evaluation(ground_truth: Path | None, num_images: int, as_json: bool) -> None:
    """Time the computation of WIDER FACE AP.

    AP from arrays and from text files is compared with the protocol's literal form, which takes each image, setting
    and threshold in turn, as the usual evaluator does. The literal form runs for more than half a minute.

    \b
    Example:  crface bench evaluation
              crface bench evaluation --ground-truth /data/WIDER_FACE/ground_truth --json
    """
    from pipeline.bench import evaluation as bench_evaluation

    found = bench_evaluation.bench_evaluation(ground_truth, num_images)
    if as_json:
        click.echo(json.dumps(bench_evaluation.as_json(found), indent=2))
    else:
        show_table("\n".join(bench_evaluation.as_lines(found)))


@bench.command()
@job_options("data", "out", "config", "detector")
@click.option(
    "--protocol",
    "protocols",
    multiple=True,
    metavar="NAME|FILE.toml",
    help=f"How images are presented to the detector: {NAMES}, or a file. Separate several by spaces or repeat the"
    " option.  [default: from the configuration]",
)
@job_options("ranker", "split")
@click.option(
    "--images",
    "num_images",
    default=20,
    show_default=True,
    type=click.IntRange(1),
    help="Number of images to time, spread evenly over the split.",
)
@click.option("--json", "as_json", is_flag=True, help="Print as JSON on standard output.")
def timings(protocols: tuple[str, ...], num_images: int, as_json: bool, **options: Any) -> None:
    """Time detector, fusion, NMS and ranker.

    Each is timed separately, as in the paper: one image at a time, in one process, on the GPU if there is one, after a
    warm-up. The table is stored in the workspace as results/timings.parquet and shown in its report.

    \b
    Example:  crface bench timings --protocol "single multi"
              crface bench timings --data /data/WIDER_FACE --protocol 8k --images 5 --json
    """
    from pipeline.cache.protocols import load_protocol
    from workflows.commands import timings as command

    names = tuple(name for value in protocols for name in value.split())
    for name in names:
        load_protocol(name)  # a misspelt name fails before anything is timed
    job = make_job(**options)
    rows = command.timings(job, names or (job.config.cache.protocol,), num_images, show=not as_json)
    if as_json:
        click.echo(json.dumps(rows, indent=2))


@bench.command()
@click.option(
    "--images",
    "num_images",
    default=10_000,
    show_default=True,
    type=click.IntRange(1),
    help="Number of images.",
)
@click.option(
    "--block-images", default=32, show_default=True, type=click.IntRange(1), help="Images per block."
)
@click.option("--workers", default=64, show_default=True, type=click.IntRange(1), help="Simulated workers.")
@click.option(
    "--seconds", default=1.0, show_default=True, type=Number(min=0.001), help="Seconds that each block takes."
)
@click.option("--json", "as_json", is_flag=True, help="Print as JSON on standard output.")
def scaling(num_images: int, block_images: int, workers: int, seconds: float, as_json: bool) -> None:
    """Measure the overhead for many images.

    Only the pipeline's own work is measured: the simulated workers sleep instead of detecting.

    \b
    Example:  crface bench scaling --images 100000
    """
    from workflows.commands import scaling as command
    from workflows.job.progress import show_progress

    steps = command.measure_index(num_images, block_images)
    with show_progress("sleep", num_images) as progress:
        spread = command.measure_spread(num_images, block_images, workers, seconds, progress.advance)
    if as_json:
        figures = {"steps": [asdict(step) for step in steps], "spread": asdict(spread)}
        click.echo(json.dumps(figures, indent=2))
    else:
        show_table("\n".join(command.as_lines(steps, spread)))


@bench.command()
@job_options("data", "out", "config", "detector", "protocol")
@click.option(
    "--images",
    "num_images",
    default=200,
    show_default=True,
    type=click.IntRange(1),
    help="Number of examples to load.",
)
@click.option(
    "--threads",
    "threads",
    multiple=True,
    type=click.IntRange(1),
    help="Number of loader threads; may be repeated.  [default: 1 and 2]",
)
@click.option("--json", "as_json", is_flag=True, help="Print as JSON on standard output.")
def loader(num_images: int, threads: tuple[int, ...], as_json: bool, **options: Any) -> None:
    """Time the loading of training examples.

    Shows how many examples `crface train` can load per second, and so how many cores a GPU needs. The candidates of
    the train split must be cached; nothing is kept in memory from one image to the next.

    \b
    Example:  crface bench loader
              crface bench loader --data /data/WIDER_FACE --config paper --threads 4 --threads 16
    """
    from pipeline.bench import loader as bench_loader
    from workflows.commands.loader import time_loader

    found = time_loader(make_job(**options), num_images, threads or (1, 2))
    if as_json:
        click.echo(json.dumps(bench_loader.as_json(found), indent=2))
    else:
        show_table("\n".join(bench_loader.as_lines(found)))


@bench.command()
@click.option(
    "--image-side-px",
    default=1024,
    show_default=True,
    type=click.IntRange(64, 4096),
    help="Long side of the image given to the rankers, pixels.",
)
@click.option(
    "--candidates",
    "num_candidates",
    default=5000,
    show_default=True,
    type=click.IntRange(2, 5000),
    help="Number of candidates in the image; all are refined.",
)
@click.option("--rounds", default=5, show_default=True, type=click.IntRange(1), help="Number of repetitions.")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON on standard output.")
def rankers(image_side_px: int, num_candidates: int, rounds: int, as_json: bool) -> None:
    """Compare the cost of the rankers.

    Prints parameters, file size, CPU time of one thread per image, and peak memory without the weights, each beside
    that of the small ranker.

    \b
    Example:  crface bench rankers
              crface bench rankers --image-side-px 192 --candidates 500
    """
    from pipeline.bench import rankers as bench_rankers

    found = bench_rankers.bench_rankers(image_side_px, num_candidates, rounds)
    if as_json:
        click.echo(json.dumps(bench_rankers.as_json(found), indent=2))
    else:
        show_table("\n".join(bench_rankers.as_lines(found)))
