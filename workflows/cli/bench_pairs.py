"""The benchmarks of `crface bench` that compare ways of doing one thing, side by side in one run."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from pipeline.errors import UserError
from pipeline.workspace.writing import write_atomically
from workflows.job.shown import show_table

Command = TypeVar("Command", bound=Callable[..., object])

_repeats = click.option(
    "--repeats",
    default=5,
    show_default=True,
    type=click.IntRange(1),
    help="Number of rounds; in each, every way has its turn.",
)
_json = click.option(
    "--json",
    "json_file",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Also write all times to FILE, as JSON.",
)


@click.command()
@click.option(
    "--boxes",
    "nums",
    multiple=True,
    type=click.IntRange(1),
    help="Number of boxes; may be repeated.  [default: 100, 1000, 10000 and 100000]",
)
@_repeats
@_json
def boxes(nums: tuple[int, ...], repeats: int, json_file: Path | None) -> None:
    """Compare NMS and box voting with others.

    The others are OpenCV's NMSBoxes, torchvision's nms if it can be imported, and a plain loop with NumPy, all on one
    thread. Shows processor time, peak memory, and how many kept boxes differ.

    \b
    Example:  crface bench boxes
              crface bench boxes --boxes 5000 --repeats 20
    """
    from pipeline.bench import boxes as bench_boxes

    found = bench_boxes.bench_boxes(nums or (100, 1000, 10_000, 100_000), repeats)
    _tell(bench_boxes.as_lines(found), bench_boxes.as_json(found), json_file)


@click.command()
@click.option(
    "--detector", default="retinaface-mobilenet0.25", show_default=True, metavar="NAME", help="Detector."
)
@click.option(
    "--images", "num_images", default=256, show_default=True, type=click.IntRange(1), help="Number of images."
)
@click.option(
    "--long-side-px",
    default=640,
    show_default=True,
    type=click.IntRange(96, 4096),
    help="Long side of the images, pixels.",
)
@click.option("--workers", default=1, show_default=True, type=click.IntRange(1), help="Number of workers.")
@click.option(
    "--threads", default=1, show_default=True, type=click.IntRange(1), help="Threads of torch in each worker."
)
@_repeats
@_json
def cache(
    detector: str,
    num_images: int,
    long_side_px: int,
    workers: int,
    threads: int,
    repeats: int,
    json_file: Path | None,
) -> None:
    """Compare caching with the bare loop.

    The bare loop runs the same detector on images in memory, in as many processes as there are workers. `crface cache`
    is measured on workers that are there already, and as a whole command. Beside them runs what one would write
    instead: torch's DataLoader, and one .npy file an image. All ways must give the same candidates.

    \b
    Example:  crface bench cache
              crface bench cache --images 1000 --workers 2
    """
    from pipeline.bench import cache as bench_cache
    from workflows.commands.bench_cache import bench_cache as measure

    found = measure(detector, num_images, long_side_px, workers, threads, repeats)
    _tell(bench_cache.as_lines(found), bench_cache.as_json(found), json_file)
    if found.different:
        raise UserError(f"the candidates of {len(found.different)} images differ between the ways")


COMMANDS = (boxes, cache)
"""The commands of this module, for the group."""


def _tell(lines: Sequence[str], values: Any, json_file: Path | None) -> None:
    if json_file is not None:
        write_atomically(json_file, (json.dumps(values, indent=1) + "\n").encode())
    show_table("\n".join(lines))
