"""The stages as commands: cache, train, rank, evaluate; all of them (demo) and their plan."""

import json
from typing import Any

import click

from workflows.cli.options import job_options, make_job, trust_everywhere
from workflows.cli.stage import StageCommand


@click.command(cls=StageCommand)
@job_options("out", "config")
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    help="Seed of the embedded data set.  [default: from the configuration]",
)
@job_options("cluster")
def demo(seed: int | None, **options: Any) -> None:
    """Run the whole job on the embedded data set.

    The stages are cache, train, rank, evaluate, evaluate-protocols and report.

    \b
    Example:  crface demo
              crface demo --seed 1 --out runs/seed1
    """
    from workflows.commands.demo import demo as run_demo

    job = make_job(**options)
    if seed is not None:
        dataset = job.config.dataset.model_copy(update={"seed": seed})
        job = job.with_config(job.config.model_copy(update={"dataset": dataset}))
    run_demo(job)


_retry_failed = click.option(
    "--retry-failed",
    "is_retry",
    is_flag=True,
    help="Also retry blocks that an earlier run set aside.",
)
_verify = click.option(
    "--verify",
    "is_verified",
    is_flag=True,
    help="First read everything stored, name what is damaged, and compute it again.",
)


@click.command(cls=StageCommand)
@job_options("data", "out", "detector", "config", "protocol", "cluster", "split")
@_retry_failed
@_verify
def cache(is_retry: bool, is_verified: bool, **options: Any) -> None:
    """Store the candidates of every image.

    Every chosen detector is run on every image; only what is missing or out of date is computed. An unreadable image
    is named and left out. A block that fails three times is named and set aside, and the exit status is then 1.

    \b
    Example:  crface cache --data /data/WIDER_FACE --detector retinaface-mobilenet0.25
              crface cache --data photos --cluster tcp://10.0.0.1:8786
              crface cache --data photos --verify
    """
    from workflows.commands import cache as command

    command.cache(make_job(**options), is_retry, is_verified)


@click.command(cls=StageCommand)
@job_options("data", "out", "config", "detector", "protocol", "no_gate")
@click.option(
    "--threads",
    "num_threads",
    default=2,
    show_default=True,
    type=click.IntRange(1),
    help="Threads per process that read and augment images (see `crface bench loader`).",
)
@click.option(
    "--cluster",
    metavar="local:N|ADDRESS|FILE",
    help="Train in one new process beside each worker of a Dask cluster.  [default: in this process]",
)
@_verify
def train(num_threads: int, is_verified: bool, cluster: str | None, **options: Any) -> None:
    """Train the confidence ranker.

    It learns from the cached candidates of the train split. A part of the images is held out: where they show no gain,
    nothing of the ranker is used. An interrupted training resumes from its last checkpoint, bit for bit on a CPU. Under
    torchrun or on a cluster, the processes share each batch.

    \b
    Example:  crface train --data photos
              crface train --data /data/WIDER_FACE --config paper
              tensorboard --logdir runs/WIDER_FACE/rankers
              torchrun --no-python --nproc-per-node 4 crface train --data /data/WIDER_FACE --config paper
              crface train --data /data/WIDER_FACE --config paper --cluster tcp://10.0.0.1:8786
    """
    from workflows.commands import train as command

    if cluster is None:
        command.train(make_job(**options), num_threads, is_verified)
        return
    from workflows.cluster.open import open_cluster
    from workflows.worker.beside import run_beside_workers

    make_job(**options)  # a mistake in the options fails before a cluster is started
    if options.pop("no_gate"):
        options["no-gate"] = True
    values = [(name, value) for name, given in options.items() for value in _each(given)]
    arguments = [
        word
        for name, value in values
        for word in ((f"--{name}",) if value is True else (f"--{name}", str(value)))
    ]
    if is_verified:
        arguments.append("--verify")
    with open_cluster(cluster) as client:
        run_beside_workers(client, ["train", "--threads", str(num_threads), *arguments])


def _each(given: Any) -> tuple[Any, ...]:
    """The values of an option: one, several, or none."""
    if isinstance(given, tuple):
        return given
    return () if given is None else (given,)


@click.command(cls=StageCommand)
@job_options("data", "out", "ranker", "config", "detector", "protocol", "cluster", "split", "no_gate")
@_retry_failed
@_verify
@trust_everywhere
def rank(is_retry: bool, is_verified: bool, is_trusted_everywhere: bool, **options: Any) -> None:
    """Refine the cached confidences with a ranker.

    Some of the images and their candidates are compared with those that the ranker was trained on. The less alike they
    are, the less it is trusted, down to the detector's own confidences; the command then says so, with a figure.

    \b
    Example:  crface rank --data /data/WIDER_FACE
              crface rank --data photos --ranker runs/WIDER_FACE/rankers/0123456789abcdef/ranker.safetensors
    """
    from workflows.commands import rank as command

    command.rank(make_job(**options), is_retry, is_verified, is_trusted_everywhere=is_trusted_everywhere)


@click.command(cls=StageCommand)
@job_options("data", "out")
@click.option(
    "-v",
    "--verbose",
    "is_detailed",
    is_flag=True,
    help="Also print exact AP, the recovered share of the oracle gap, failures and calibration.",
)
@job_options("config", "detector", "protocol", "cluster", "ranker", "split", "ground_truth", "no_gate")
@click.option("--json", "as_json", is_flag=True, help="Print every number as JSON on standard output.")
def evaluate(as_json: bool, is_detailed: bool, **options: Any) -> None:
    """Measure AP before and after ranking.

    Prints what ranking gained for each detector: AP easy / medium / hard of the predicted, ranked and oracle
    confidences. Stores these, AP of all faces and by face height, 95 % intervals, failures and calibration. Without a
    ranker (neither trained nor given), there is no ranked AP. `--cluster local` uses threads of this process;
    `local:N` starts processes.

    \b
    Example:  crface evaluate --data /data/WIDER_FACE --json
              crface evaluate --data /data/WIDER_FACE --cluster tcp://10.0.0.1:8786
    """
    from workflows.commands import evaluate as command

    rows = command.evaluate(make_job(**options), show=not as_json, is_detailed=is_detailed)
    if as_json:
        click.echo(json.dumps(rows, indent=2))


@click.command(cls=StageCommand)
@job_options("data", "out", "config", "detector", "protocol", "ranker", "split", "ground_truth", "no_gate")
@click.option("--json", "as_json", is_flag=True, help="Print the plan as JSON on standard output.")
def plan(as_json: bool, **options: Any) -> None:
    """Show what would be computed, and why.

    Nothing is computed or written.

    \b
    Example:  crface plan --data /data/WIDER_FACE
    """
    from workflows.commands import plan as command

    entries = command.plan(make_job(**options))
    if as_json:
        click.echo(json.dumps([entry.as_json() for entry in entries], indent=2))
    else:
        for entry in entries:
            click.echo(entry.as_text())
