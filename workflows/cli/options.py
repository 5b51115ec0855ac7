"""The options that several commands share, and the job they add up to."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from detectors.protocols import NAMES
from pipeline.cache.protocols import load_protocol
from pipeline.config.sections import CacheConfig
from pipeline.config.toml import load_config
from pipeline.errors import UsageError
from pipeline.workspace.place import Place, UrlPath, parse_place
from workflows.cli.numbers import Number
from workflows.cluster.tls import tls_required
from workflows.job.detectors import named_in
from workflows.job.job import Job

Command = TypeVar("Command", bound=Callable[..., object])


def job_options(*names: str) -> Callable[[Command], Command]:
    """Add the named shared options to a command, in the order in which --help shall list them."""

    def add(command: Command) -> Command:
        for name in reversed(names):
            command = _OPTIONS[name](command)
        return command

    return add


def make_job(
    data: Path | None = None,
    out: Place | None = None,
    config: str = "demo",
    detector: tuple[str, ...] = (),
    protocol: str | None = None,
    cluster: str = "local",
    ground_truth: Path | None = None,
    ranker: Path | None = None,
    split: str | None = None,
    max_megapixels: float | None = None,
) -> Job:
    """Turn the shared options into a job; what the command line says goes before the configuration.

    Raises UsageError for a configuration or a protocol that cannot be read.
    """
    settings = load_config(config)
    # one --detector may name several, separated by spaces: that is what `make DETECTORS="a b"` passes
    names = detector if len(detector) > 1 else tuple(name for value in detector for name in named_in(value))
    cache = settings.cache.model_copy(
        update={
            **({"detectors": names} if names else {}),
            **({"protocol": protocol} if protocol else {}),
            **({"max_megapixels": max_megapixels} if max_megapixels else {}),
        }
    )
    load_protocol(cache.protocol)  # a mistake in its name shall not wait for a data set to be made
    return Job(
        out=out,
        data=data,
        config=settings.model_copy(update={"cache": cache}),
        cluster=cluster,
        ground_truth=ground_truth,
        ranker=ranker,
        split=split,
    )


def max_pixels(max_megapixels: float | None) -> int:
    """Give the limit of a command without a configuration, in pixels; the configuration's default if None."""
    return (CacheConfig(max_megapixels=max_megapixels) if max_megapixels else CacheConfig()).max_pixels


class _FolderType(click.Path):
    """A folder of this machine."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if isinstance(value, str) and "://" in value:
            raise UsageError(
                "images and ground truth are read from folders, only a workspace (--out) may be a URL: copy the "
                "data set to a disk that every worker sees, or mount its bucket there"
            )
        return super().convert(value, param, ctx)


_FOLDER = _FolderType(path_type=Path, file_okay=False)


class _PlaceType(click.Path):
    """A folder's path, or a URL of a store."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if isinstance(value, str) and "://" in value:
            place = parse_place(value)
            if isinstance(place, UrlPath):
                if value.startswith("memory:"):
                    raise UsageError(
                        "a workspace in memory would be gone with this command: give a folder or a URL"
                    )
                return place
            value = str(place)
        return super().convert(value, param, ctx)


def _require_tls(context: click.Context, parameter: click.Parameter, folder: Path | None) -> None:
    if folder is not None:
        context.with_resource(tls_required(folder))


def _cluster(command: Command) -> Command:
    """Add where blocks are computed, and how that is protected."""
    return _CLUSTER(_TLS(command))


_CLUSTER: Callable[[Command], Command] = click.option(
    "--cluster",
    default="local",
    show_default=True,
    metavar="local|cuda|FILE.toml|ADDRESS",
    help="Where blocks are computed: worker processes on this machine (local, local:N), one for each of"
    " its GPUs (cuda), SSH hosts or Slurm jobs (a TOML file, see docs/clusters.md), or the address or"
    " scheduler file of a Dask cluster that runs already.",
)
_TLS: Callable[[Command], Command] = click.option(
    "--tls",
    type=_FOLDER,
    metavar="FOLDER",
    callback=_require_tls,
    expose_value=False,
    help="Encrypt what Dask's processes say to each other, and turn away who has no certificate: ca.pem, cert.pem"
    " and key.pem of this folder, made if it is empty or not there.",
)

_OPTIONS: dict[str, Callable[[Command], Command]] = {
    "data": click.option(
        "--data",
        type=_FOLDER,
        metavar="FOLDER",
        help="A data set in WIDER FACE's layout, or a folder of images. Default: the one that the workspace"
        " was made from, else the embedded data set, made there.",
    ),
    "out": click.option(
        "--out",
        type=_PlaceType(path_type=Path, file_okay=False),
        metavar="FOLDER|URL",
        help="The workspace: a folder, or a URL as s3://bucket/run. Default: runs/demo, or runs/<name of the data"
        " folder>.",
    ),
    "config": click.option(
        "--config",
        default="demo",
        show_default=True,
        metavar="NAME|FILE",
        help="demo, paper, smoke, or a TOML file.",
    ),
    "detector": click.option(
        "--detector",
        multiple=True,
        metavar="NAME[@WEIGHTS]",
        help="Which detector; several are separated by spaces or given by repeating the option.",
    ),
    "protocol": click.option(
        "--protocol",
        metavar="NAME|FILE.toml",
        help=f"How an image is presented to the detector: {NAMES}, or a file that says so."
        "  [default: the configuration's]",
    ),
    "cluster": _cluster,
    "ground_truth": click.option(
        "--ground-truth",
        type=_FOLDER,
        metavar="FOLDER",
        help="The folder of the official .mat files, when they are not in the data set's own.",
    ),
    "ranker": click.option(
        "--ranker",
        type=click.Path(path_type=Path, exists=True),
        metavar="FILE",
        help="A ranker.safetensors. Default: the one that `crface train` made with this configuration.",
    ),
    "max_megapixels": click.option(
        "--max-megapixels",
        type=Number(0, 1000, min_open=True),
        metavar="N",
        help="Refuse larger images by their header, before anything is decoded.  [default: 200; where there is"
        " a configuration, its cache.max_megapixels]",
    ),
    "split": click.option(
        "--split",
        metavar="NAME",
        help="Only this split.  [default: all for cache, val for rank, evaluate and report]",
    ),
}
