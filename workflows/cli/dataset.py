"""`crface dataset`: make the embedded data set; collect, join, index or check any other."""

import json
from pathlib import Path
from typing import Any, get_args

import click

from pipeline.config.sections import WorldName
from workflows.cli.numbers import Number
from workflows.cli.options import job_options, make_job, max_pixels


@click.group()
def dataset() -> None:
    """Make, collect, join or check a data set."""


@dataset.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.option(
    "--config",
    default="demo",
    show_default=True,
    metavar="NAME|FILE",
    help="Configuration with the defaults of the following options.",
)
@click.option("--seed", type=click.IntRange(min=0), help="Seed of the random generator.")
@click.option("--train-images", type=click.IntRange(min=1), help="Images in the train split.")
@click.option("--val-images", type=click.IntRange(min=1), help="Images in the val split.")
@click.option("--long-side-px", type=click.IntRange(min=96), help="Long side of every image, pixels.")
@click.option(
    "--difficulty",
    type=Number(0.0, 1.0),
    help="From 0 (clear faces only) to 1 (blurred, dark and covered faces).",
)
@click.option(
    "--world",
    type=click.Choice(get_args(WorldName)),
    help="Light, air, camera and dress of all images; the shipped detectors know only default.",
)
def make(folder: Path, config: str, **values: Any) -> None:
    """Make the embedded data set in FOLDER.

    It has WIDER FACE's layout.

    \b
    Example:  crface dataset make data/embedded --seed 1 --train-images 2000
    """
    from pipeline.config.toml import load_config
    from workflows.job.data import make_embedded

    settings = load_config(config).dataset
    chosen = {name: value for name, value in values.items() if value is not None}
    make_embedded(folder.absolute(), type(settings).model_validate({**settings.model_dump(), **chosen}))


@dataset.command()
@job_options("data", "out", "config")
def index(**options: Any) -> None:
    """Index the images and labels of a data set.

    The index is stored in the workspace. New images get new rows at the end; unreadable images are named, and later
    stages leave them out.

    \b
    Example:  crface dataset index --data /data/WIDER_FACE
    """
    from workflows.commands import index as command

    command.index(make_job(**options))


@dataset.command()
@click.argument("folder", type=click.Path(path_type=Path))
@job_options("max_megapixels")
def validate(folder: Path, max_megapixels: float | None) -> None:
    """Check a data set for errors.

    Checks the layout, every annotation and every image. The exit status is 1 if anything is wrong.

    \b
    Example:  crface dataset validate /data/WIDER_FACE
    """
    from workflows.commands import validate as command

    command.validate(folder, max_pixels(max_megapixels))


@dataset.command()
@click.argument("sources", metavar="DATA...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path, file_okay=False),
    metavar="FOLDER",
    help="Folder of the joined data set, new or empty.",
)
def join(sources: tuple[Path, ...], out: Path) -> None:
    """Join data sets into one.

    Every stage then takes them together: one ranker learns from all. A split has the images and labels of the splits of
    that name. Event folders get the name of their data set as a prefix. Images are linked where the file system allows
    it, and take no space.

    \b
    Example:  crface dataset join data/crowds data/portraits --out data/both
              crface cache --data data/both
              crface train --data data/both
    """
    from workflows.commands.join import run_join

    run_join(sources, out)


@dataset.command()
@click.argument("sources", metavar="SOURCE...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path, file_okay=False),
    metavar="FOLDER",
    help="Folder of the data set: a new one, or that of an earlier run.",
)
@click.option(
    "--labels",
    multiple=True,
    type=click.Path(path_type=Path, exists=True),
    metavar="FILE|FOLDER",
    help="WIDER FACE text, COCO JSON, VOC XML or dlib XML; may be repeated.",
)
@click.option(
    "--category",
    "categories",
    multiple=True,
    metavar="NAME",
    help="Category of the labels that counts as a face; may be repeated.  [default: face, or the only one]",
)
@click.option(
    "--threshold",
    default=0.5,
    show_default=True,
    type=Number(0.0, 1.0),
    help="Drop images that are more similar than this to one already kept; 1 keeps all.",
)
@click.option(
    "--every",
    type=click.IntRange(1),
    metavar="N",
    help="Take every N-th frame of a video.  [default: 25]",
)
@click.option("--scenes", is_flag=True, help="Take the first frame of each scene instead.")
@job_options("max_megapixels")
@click.option("--json", "as_json", is_flag=True, help="Print what was found as JSON on standard output.")
def collect(
    sources: tuple[Path, ...],
    out: Path,
    labels: tuple[Path, ...],
    categories: tuple[str, ...],
    threshold: float,
    every: int | None,
    scenes: bool,
    max_megapixels: float | None,
    as_json: bool,
) -> None:
    """Build a data set from photos and videos.

    The data set has WIDER FACE's layout, without near-duplicates. A SOURCE is a file, or a folder that is searched at
    any depth. Photographs are copied unchanged. Similarity is the SSIM of small greyscale copies, 0 to 1. With labels,
    the heights of the faces are counted in the bins of the paper's Figure 5. Running the command again continues
    where it stopped and reads only new files.

    \b
    Example:  crface dataset collect photos clips --out data/mine --every 50
              crface dataset collect photos clips --out data/mine --every 50 --labels labels.json
    """
    from pipeline.collect import FrameRule
    from workflows.commands import collect as command

    if scenes and every is not None:
        raise click.UsageError("give --every or --scenes, not both")
    rule = FrameRule(every=None if scenes else every or 25, scene_threshold=threshold)
    found = command.run_collect(
        sources, out, labels, categories, threshold, rule, max_pixels(max_megapixels), show=not as_json
    )
    if as_json:
        click.echo(json.dumps(found, indent=2))
    command.check(found)
