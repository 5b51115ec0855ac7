"""Options shared by several commands, and the job made from them."""

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
from workflows.job.data import has_foreign_data
from workflows.job.detectors import named_in, starting_weights
from workflows.job.job import Job

Command = TypeVar("Command", bound=Callable[..., object])


def job_options(*names: str) -> Callable[[Command], Command]:
    """A decorator that adds the named shared options to a command; --help lists them in this order."""

    def add(command: Command) -> Command:
        for name in reversed(names):
            command = _OPTIONS[name](command)
        return command

    return add


def make_job(
    data: Path | None = None,
    out: Place | None = None,
    config: str | None = None,
    detector: tuple[str, ...] = (),
    protocol: str | None = None,
    cluster: str = "local",
    ground_truth: Path | None = None,
    ranker: Path | None = None,
    split: str | None = None,
    max_megapixels: float | None = None,
    no_gate: bool = False,
) -> Job:
    """The job that the shared options describe; the command line overrides the configuration.

    Without a configuration it is `demo` for the embedded data set, and `photos` for any other.

    Raises UsageError for a configuration or a protocol that cannot be read.
    """
    settings = load_config(config or ("photos" if data is not None or has_foreign_data(out) else "demo"))
    # one --detector may name several, separated by spaces: that is what `make DETECTORS="a b"` passes
    names = detector if len(detector) > 1 else tuple(name for value in detector for name in named_in(value))
    cache = settings.cache.model_copy(
        update={
            **({"detectors": names} if names else {}),
            **({"protocol": protocol} if protocol else {}),
            **({"max_megapixels": max_megapixels} if max_megapixels else {}),
        }
    )
    train = settings.train.model_copy(
        update={
            **({"gate": False} if no_gate else {}),
            **(
                {"initial_weights": str(starting_weights(cache.detectors))}
                if settings.train.initial_weights == "detector"
                else {}
            ),
        }
    )
    load_protocol(cache.protocol)  # a misspelt name fails before a data set is made
    return Job(
        out=out,
        data=data,
        config=settings.model_copy(update={"cache": cache, "train": train}),
        cluster=cluster,
        ground_truth=ground_truth,
        ranker=ranker,
        split=split,
    )


trust_everywhere: Callable[[Command], Command] = click.option(
    "--trust-everywhere",
    "is_trusted_everywhere",
    is_flag=True,
    help="Trust the ranker also where images or candidates are unlike those it was trained on.",
)


def max_pixels(max_megapixels: float | None) -> int:
    """The limit for a command without a configuration, in pixels; the configuration's default if None."""
    return (CacheConfig(max_megapixels=max_megapixels) if max_megapixels else CacheConfig()).max_pixels


class _FolderType(click.Path):
    """A local folder."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if isinstance(value, str) and "://" in value:
            raise UsageError(
                "images and ground truth are read from folders; only a workspace (--out) may be a URL: copy the "
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


PLACE = _PlaceType(path_type=Path, file_okay=False)
"""A workspace on the command line."""


def _require_tls(context: click.Context, parameter: click.Parameter, folder: Path | None) -> None:
    if folder is not None:
        context.with_resource(tls_required(folder))


def _cluster(command: Command) -> Command:
    """The options --cluster and --tls."""
    return _CLUSTER(_TLS(command))


_CLUSTER: Callable[[Command], Command] = click.option(
    "--cluster",
    default="local",
    show_default=True,
    metavar="local|cuda|FILE.toml|ADDRESS",
    help="Where to compute: worker processes on this machine (local, local:N), one per GPU (cuda), SSH hosts or Slurm"
    " jobs (a TOML file, see docs/clusters.md), or a running Dask cluster (its address or scheduler file).",
)
_TLS: Callable[[Command], Command] = click.option(
    "--tls",
    type=_FOLDER,
    metavar="FOLDER",
    callback=_require_tls,
    expose_value=False,
    help="Encrypt Dask's connections and refuse peers without a certificate. The folder holds ca.pem, cert.pem and"
    " key.pem, which are made if it is empty or missing.",
)

_OPTIONS: dict[str, Callable[[Command], Command]] = {
    "data": click.option(
        "--data",
        type=_FOLDER,
        metavar="FOLDER",
        help="A data set in WIDER FACE's layout, or a folder of images.  [default: the one the workspace was made from,"
        " else the embedded data set]",
    ),
    "out": click.option(
        "--out",
        type=PLACE,
        metavar="FOLDER|URL",
        help="The workspace: a folder, or a URL such as s3://bucket/run.  [default: runs/demo, or runs/NAME for a"
        " data folder NAME]",
    ),
    "config": click.option(
        "--config",
        metavar="NAME|FILE",
        help="Configuration: photos, demo, paper, smoke, or a TOML file.  [default: photos, and demo for the embedded"
        " data set]",
    ),
    "no_gate": click.option(
        "--no-gate",
        is_flag=True,
        help="Use all that the ranker says, whether or not it helps on held-out images.",
    ),
    "detector": click.option(
        "--detector",
        multiple=True,
        metavar="NAME[@WEIGHTS]",
        help="Detector to use; separate several by spaces or repeat the option.  [default: from the configuration]",
    ),
    "protocol": click.option(
        "--protocol",
        metavar="NAME|FILE.toml",
        help=f"How images are presented to the detector: {NAMES}, or a file.  [default: from the configuration]",
    ),
    "cluster": _cluster,
    "ground_truth": click.option(
        "--ground-truth",
        type=_FOLDER,
        metavar="FOLDER",
        help="Folder of the official .mat files, if they are not inside the data set.",
    ),
    "ranker": click.option(
        "--ranker",
        type=click.Path(path_type=Path, exists=True),
        metavar="FILE",
        help="A ranker.safetensors.  [default: the ranker trained with this configuration]",
    ),
    "max_megapixels": click.option(
        "--max-megapixels",
        type=Number(0, 1000, min_open=True),
        metavar="N",
        help="Refuse images larger than this, judging by their header.  [default: cache.max_megapixels of the"
        " configuration, else 200]",
    ),
    "split": click.option(
        "--split",
        metavar="NAME",
        help="Use only this split.  [default: all for cache, val for rank, evaluate and report]",
    ),
}
