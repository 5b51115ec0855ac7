"""The benchmarks of `crface bench` that measure the whole: all that a GPU does, and all commands as data grow."""

from pathlib import Path

import click

from pipeline.errors import UsageError
from pipeline.workspace.writing import write_atomically
from workflows.cli.bench_options import json_option, refuse_unknown, repeats_option, tell


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
@repeats_option
@json_option
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
    from detectors.networks.by_name import NETWORKS
    from pipeline.bench import gpu as bench_gpu
    from pipeline.bench import gpu_table

    for name in names:
        refuse_unknown(name)
        if name.partition("@")[0] not in NETWORKS:
            raise UsageError(f"{name} is no network of this package, whose operations could be counted")
    sizes = bench_gpu.Sizes(
        images=num_images,
        image_side_px=image_side_px,
        large_side_px=large_side_px,
        candidates=num_candidates,
        repeats=repeats,
    )
    found = bench_gpu.bench_gpu(names or bench_gpu.SHIPPED, sizes)
    tell(gpu_table.as_lines(found), bench_gpu.as_json(found), json_file)


@click.command()
@click.option(
    "--axis",
    "axes",
    multiple=True,
    type=click.Choice(["images", "candidates", "faces", "side_px", "detectors", "workers"]),
    help="What grows; may be repeated.  [default: all]",
)
@click.option(
    "--largest",
    type=click.IntRange(1),
    help="Leave out larger sizes.  [default: 100000 images, 5000 candidates, 1000 faces, 4096 px, 4 detectors, all "
    "cores]",
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
@json_option
def growth(
    axes: tuple[str, ...], largest: int | None, num_images: int, svg_file: Path | None, json_file: Path | None
) -> None:
    """Measure how the time of commands grows.

    `dataset index`, `cache`, `plan`, `evaluate` and `report` run on data sets made up for this: more images, larger
    ones, more candidates, more faces; and with more detectors and more workers. A stand-in for a detector finds the
    same boxes everywhere at once: what is left is the pipeline's own work. The default sizes take an hour.

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
    tell(bench_growth.as_lines(found), bench_growth.as_json(found), json_file)
    if svg_file is not None:
        write_atomically(svg_file, bench_growth.as_svg(found))


COMMANDS = (gpu, growth)
"""The commands of this module, for the group."""
