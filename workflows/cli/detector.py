"""`crface detectors` and `crface train-detector`."""

import json
from pathlib import Path
from typing import Any

import click

from pipeline.errors import UsageError
from workflows.cli.options import job_options, make_job
from workflows.cli.stage import StageCommand

_FILE = click.Path(path_type=Path, exists=True, dir_okay=False)


@click.command("detectors")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON on standard output.")
def list_detectors(as_json: bool) -> None:
    """List the available detectors.

    Each is listed with the weights that ship with it.

    \b
    Example:  crface detectors
    """
    import detectors

    found = detectors.available()
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    for name, description in found.items():
        click.echo(f"{name}: {description}")
    click.echo("Add your own as package.module:Class, or as an entry point in the group crface.detectors.")


@click.command("train-detector", cls=StageCommand)
@job_options("data", "out")
@click.option(
    "--detector",
    default="retinaface-mobilenet0.25",
    show_default=True,
    metavar="NAME",
    help="The detector to train.",
)
@click.option(
    "--recipe",
    default="retinaface-mobilenet0.25",
    show_default=True,
    metavar="NAME|FILE",
    help="Training recipe: a shipped one or a TOML file.",
)
@click.option(
    "--threads",
    default=1,
    show_default=True,
    type=click.IntRange(1),
    help="Threads that read and augment images.",
)
@click.option(
    "--weights",
    type=_FILE,
    metavar="FILE",
    help="Weights of this detector to fine-tune, all layers.  [default: random]",
)
@click.option(
    "--trunk-weights",
    type=_FILE,
    metavar="FILE",
    help="ImageNet weights to start the trunk from.  [default: random]",
)
@click.option(
    "--landmarks",
    type=_FILE,
    metavar="FILE",
    help="Landmarks in the format of RetinaFace's label.txt, for a recipe with a landmark_weight.",
)
def train_detector(
    detector: str,
    recipe: str,
    threads: int,
    weights: Path | None,
    trunk_weights: Path | None,
    landmarks: Path | None,
    **options: Any,
) -> None:
    """Train a detector on the train split.

    It starts from random weights, from --weights of the same detector, or with a trunk from --trunk-weights. An
    interrupted training resumes from its last checkpoint, bit for bit on a CPU. Under torchrun, the processes
    share each batch.

    \b
    Example:  crface dataset make data/embedded --seed 1000 --train-images 1500 --val-images 100
              crface train-detector --data data/embedded --detector hambox-slim --recipe hambox-slim
              torchrun --no-python --nproc-per-node 4 crface train-detector --data /data/WIDER_FACE \\
                --detector hrnet-w48 --recipe hrnet-w48-widerface --trunk-weights hrnetv2_w48_imagenet_pretrained.pth
    """
    if weights is not None and trunk_weights is not None:
        raise UsageError("--weights has all layers, the trunk's too: leave out --trunk-weights, or --weights")
    from pipeline.train.detector import Start
    from workflows.commands import train_detector as command

    start = None
    if weights is not None:
        start = Start(weights, "all")
    elif trunk_weights is not None:
        start = Start(trunk_weights, "trunk")
    command.train_detector(make_job(**options), detector, recipe, threads, start, landmarks)
