"""The benchmarks of `crface bench` that compare ways of doing one thing, side by side in one run."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from pipeline.errors import UsageError, UserError
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

_long_side = click.option(
    "--long-side-px",
    default=640,
    show_default=True,
    type=click.IntRange(96, 4096),
    help="Long side of the images, pixels.",
)
_detector = click.option(
    "--detector", default="retinaface-mobilenet0.25", show_default=True, metavar="NAME", help="Detector."
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
@_detector
@click.option(
    "--images", "num_images", default=256, show_default=True, type=click.IntRange(1), help="Number of images."
)
@_long_side
@click.option("--workers", default=1, show_default=True, type=click.IntRange(1), help="Number of workers.")
@click.option(
    "--threads", default=1, show_default=True, type=click.IntRange(1), help="Threads of torch in each worker."
)
@_repeats
@click.option(
    "--timeline",
    "svg_file",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE.svg",
    help="Instead, draw what is done when while one block of the images is cached.",
)
@_json
def cache(
    detector: str,
    num_images: int,
    long_side_px: int,
    workers: int,
    threads: int,
    repeats: int,
    svg_file: Path | None,
    json_file: Path | None,
) -> None:
    """Compare caching with the bare loop.

    The bare loop runs the same detector on images in memory, in as many processes as there are workers. `crface cache`
    is measured block by block without a cluster, on workers that are there already, and as a whole command. Beside them
    runs what one would write instead: torch's DataLoader, and one .npy file an image. All must find the same boxes.

    \b
    Example:  crface bench cache
              crface bench cache --images 1000 --workers 2
              crface bench cache --images 32 --timeline block.svg
    """
    from pipeline.bench import cache as bench_cache
    from workflows.commands.bench_cache import bench_cache as measure

    if svg_file is not None:
        lines, picture = bench_cache.draw_timeline(detector, num_images, long_side_px, threads)
        write_atomically(svg_file, picture)
        show_table("\n".join(lines))
        return
    found = measure(detector, num_images, long_side_px, workers, threads, repeats)
    _tell(bench_cache.as_lines(found), bench_cache.as_json(found), json_file)
    if found.different:
        raise UserError(f"the candidates of {len(found.different)} images differ between the ways")


@click.command()
@_detector
@click.option(
    "--images", "num_images", default=64, show_default=True, type=click.IntRange(1), help="Number of images."
)
@_long_side
@_repeats
@_json
def store(detector: str, num_images: int, long_side_px: int, repeats: int, json_file: Path | None) -> None:
    """Compare the candidate store with others.

    Bytes, and time to write and read an image, beside .npz, .npy, Parquet and (if h5py is installed) HDF5; megabytes a
    second with several writers; and what fewer bytes an image would cost in AP.

    \b
    Example:  crface bench store
    """
    from pipeline.bench import store as bench_store

    found = bench_store.bench_store(detector, num_images, long_side_px, repeats)
    _tell(bench_store.as_lines(found), bench_store.as_json(found), json_file)


@click.command()
@click.option(
    "--detector",
    "names",
    multiple=True,
    metavar="NAME",
    help="Detector of this package; may be repeated.  [default: those with shipped weights]",
)
@click.option(
    "--images", "num_images", default=256, show_default=True, type=click.IntRange(1), help="Number of images."
)
@click.option(
    "--image-side-px",
    default=1024,
    show_default=True,
    type=click.IntRange(64, 4096),
    help="Long side of the images, pixels.",
)
@click.option(
    "--large-side-px",
    default=7680,
    show_default=True,
    type=click.IntRange(64, 15360),
    help="Long side of the large images, pixels.",
)
@click.option(
    "--candidates",
    "num_candidates",
    default=5000,
    show_default=True,
    type=click.IntRange(2, 5000),
    help="Candidates given to the rankers.",
)
@_repeats
@_json
def gpu(
    names: tuple[str, ...],
    num_images: int,
    image_side_px: int,
    large_side_px: int,
    num_candidates: int,
    repeats: int,
    json_file: Path | None,
) -> None:
    """Measure what a GPU makes of it all.

    How busy the cache stage keeps it, milliseconds and memory of an 8K image beside what its arithmetic allows, and the
    rankers beside the paper's times. Without a GPU everything runs on the CPU, where the default sizes take an hour.

    \b
    Example:  crface bench gpu --json gpu.json
              crface bench gpu --images 4 --image-side-px 128 --large-side-px 256 --repeats 1
    """
    from pipeline.bench import gpu as bench_gpu

    sizes = bench_gpu.Sizes(
        images=num_images,
        image_side_px=image_side_px,
        large_side_px=large_side_px,
        candidates=num_candidates,
        repeats=repeats,
    )
    found = bench_gpu.bench_gpu(names or bench_gpu.SHIPPED, sizes)
    _tell(bench_gpu.as_lines(found), bench_gpu.as_json(found), json_file)


@click.command()
@click.option(
    "--axis",
    "axes",
    multiple=True,
    type=click.Choice(["images", "candidates", "faces", "side_px"]),
    help="What grows; may be repeated.  [default: all]",
)
@click.option(
    "--largest",
    type=click.IntRange(1),
    help="Leave out larger sizes.  [default: 100000 images, 5000 candidates, 1000 faces, 4096 px]",
)
@click.option(
    "--images",
    "num_images",
    default=256,
    show_default=True,
    type=click.IntRange(1),
    help="Number of images where something else grows.",
)
@click.option(
    "--svg",
    "svg_file",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE.svg",
    help="Also draw the curves.",
)
@_json
def growth(
    axes: tuple[str, ...], largest: int | None, num_images: int, svg_file: Path | None, json_file: Path | None
) -> None:
    """Measure how the time of commands grows.

    `dataset index`, `cache`, `plan`, `evaluate` and `report` run on data sets made up for this: more images, larger
    ones, more candidates, more faces. A stand-in for a detector finds the same boxes everywhere at once: what is left
    is the pipeline's own work. The default sizes take an hour.

    \b
    Example:  crface bench growth --axis images --largest 10000
    """
    from pipeline.bench import growth as bench_growth
    from workflows.commands.bench_growth import bench_growth as measure

    chosen = {
        axis: [value for value in bench_growth.AXES[axis] if largest is None or value <= largest]
        for axis in axes or bench_growth.AXES
    }
    if empty := [axis for axis, values in chosen.items() if not values]:
        raise UsageError(f"--largest {largest} leaves no size of {empty[0]}")
    found = measure(chosen, num_images, lambda words: click.echo(words, err=True))
    _tell(bench_growth.as_lines(found), bench_growth.as_json(found), json_file)
    if svg_file is not None:
        write_atomically(svg_file, bench_growth.as_svg(found))


COMMANDS = (boxes, cache, store, gpu, growth)
"""The commands of this module, for the group."""


def _tell(lines: Sequence[str], values: Any, json_file: Path | None) -> None:
    if json_file is not None:
        write_atomically(json_file, (json.dumps(values, indent=1) + "\n").encode())
    show_table("\n".join(lines))
