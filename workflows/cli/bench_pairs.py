"""The benchmarks of `crface bench` that compare ways of doing one thing, side by side in one run."""

from pathlib import Path

import click

from pipeline.errors import UserError
from pipeline.workspace.writing import write_atomically
from workflows.cli.bench_options import (
    detector_option,
    json_option,
    long_side_option,
    refuse_unknown,
    repeats_option,
    tell,
)
from workflows.job.shown import show_table


@click.command()
@click.option(
    "--boxes",
    "nums",
    multiple=True,
    type=click.IntRange(1),
    help="Number of boxes; may be repeated.  [default: 100, 1000, 10000 and 100000]",
)
@repeats_option
@json_option
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
    tell(bench_boxes.as_lines(found), bench_boxes.as_json(found), json_file)


@click.command()
@detector_option
@click.option(
    "--images", "num_images", default=256, show_default=True, type=click.IntRange(1), help="Number of images."
)
@long_side_option
@click.option("--workers", default=1, show_default=True, type=click.IntRange(1), help="Number of workers.")
@click.option(
    "--threads", default=1, show_default=True, type=click.IntRange(1), help="Threads of torch in each worker."
)
@repeats_option
@click.option(
    "--timeline",
    "svg_file",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE.svg",
    help="Instead, draw what is done when while one block of the images is cached.",
)
@json_option
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

    refuse_unknown(detector)
    if svg_file is not None:
        lines, picture = bench_cache.draw_timeline(detector, num_images, long_side_px, threads)
        write_atomically(svg_file, picture)
        show_table("\n".join(lines))
        return
    found = measure(detector, num_images, long_side_px, workers, threads, repeats)
    tell(bench_cache.as_lines(found), bench_cache.as_json(found), json_file)
    if found.different:
        raise UserError(f"the candidates of {len(found.different)} images differ between the ways")


@click.command()
@detector_option
@click.option(
    "--images", "num_images", default=64, show_default=True, type=click.IntRange(1), help="Number of images."
)
@long_side_option
@repeats_option
@json_option
def store(detector: str, num_images: int, long_side_px: int, repeats: int, json_file: Path | None) -> None:
    """Compare the candidate store with others.

    Bytes, and time to write and read an image, beside .npz, .npy, Parquet and (if h5py is installed) HDF5; megabytes a
    second with several writers; and what fewer bytes an image would cost in AP.

    \b
    Example:  crface bench store
    """
    from pipeline.bench import store as bench_store

    refuse_unknown(detector)
    found = bench_store.bench_store(detector, num_images, long_side_px, repeats)
    tell(bench_store.as_lines(found), bench_store.as_json(found), json_file)


@click.command()
@click.option(
    "--detector",
    "names",
    multiple=True,
    help="A network of this package; may be repeated.  [default: retinaface-mobilenet0.25]",
)
@click.option(
    "--size",
    "sizes",
    multiple=True,
    type=(click.IntRange(1), click.IntRange(1)),
    metavar="WIDTH HEIGHT",
    help="Size of the image; may be repeated.  [default: VGA, 1024 x 768, 4K and 8K]",
)
@click.option("--threads", default=1, show_default=True, type=click.IntRange(1), help="Threads of torch.")
@repeats_option
@json_option
def detectors(
    names: tuple[str, ...],
    sizes: tuple[tuple[int, int], ...],
    threads: int,
    repeats: int,
    json_file: Path | None,
) -> None:
    """Compare detectors on a CPU with others.

    The others are the same network in plain PyTorch, layer by layer, and in onnxruntime if that can be imported. Each
    takes one image from its pixels to the network's outputs, which must be the same to a rounding.

    \b
    Example:  crface bench detectors
              crface bench detectors --detector hambox-slim --size 1024 768 --threads 2
    """
    from pipeline.bench import detectors as bench_detectors

    found = bench_detectors.bench_detectors(
        names or ("retinaface-mobilenet0.25",), sizes or bench_detectors.SIZES, threads, repeats
    )
    tell(bench_detectors.as_lines(found), bench_detectors.as_json(found), json_file)


COMMANDS = (boxes, cache, detectors, store)
"""The commands of this module, for the group."""
