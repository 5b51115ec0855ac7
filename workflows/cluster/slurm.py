"""Workers as Slurm jobs, whose number is kept up during a run."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipeline.errors import UserError
from workflows.cluster.gpus import GPU
from workflows.cluster.settings import SlurmSettings

if TYPE_CHECKING:
    from distributed import Client

_RENEW_S = 15.0
_POLL_S = 2.0
_SLURM_S = 60
_OVER = ("COMPLETING", "COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "OUT_OF_MEMORY")

_CONFIG = {
    # after this, a job whose worker has left is cancelled, unless it has ended by itself, and replaced
    "distributed.deploy.lost-worker-timeout": "60 s",
    # waiting in the queue may take long
    "distributed.scheduler.no-workers-timeout": None,
}


@contextmanager
def slurm_cluster(
    settings: SlurmSettings, inherited: dict[str, Any], num_blocks: int | None
) -> Iterator[Client]:
    """Submit jobs, wait for the first worker, and cancel the remaining jobs at the end.

    The scheduler runs in this process, so the nodes must be able to reach this machine. A job that leaves before its
    walltime (`workflows.worker.leaving`) or dies is replaced. `inherited` is Dask's configuration for the scheduler
    and the workers. At most `num_blocks` jobs run at once.

    Raises UserError when Slurm refuses the job, or all jobs end before a worker has connected.
    """
    import dask
    from distributed import Client

    try:
        from dask_jobqueue.slurm import SLURMCluster
    except ImportError as error:
        raise UserError(
            "--cluster with kind slurm needs dask-jobqueue: pip install 'crface[slurm]'"
        ) from error
    if shutil.which("sbatch") is None:
        raise UserError("there is no sbatch here: run this on a machine that submits to Slurm")
    num_jobs = min(settings.jobs, num_blocks or settings.jobs)
    name = f"crface-{uuid.uuid4().hex[:8]}"
    with dask.config.set({**inherited, **_CONFIG}):
        cluster: Any = SLURMCluster(
            **_options(settings, name, dask.config.serialize(dask.config.global_config))
        )
        ended = threading.Event()
        try:
            _check_submission(cluster.job_script())
            cluster.scale(jobs=num_jobs)
            # Dask submits missing jobs only when it is told the number again
            keeper = threading.Thread(target=_keep, args=(cluster, num_jobs, ended), daemon=True)
            keeper.start()
            with Client(cluster, set_as_default=False) as client:
                _wait_for_first(client, name, num_jobs, settings.log_folder)
                yield client
        finally:
            ended.set()
            cluster.close()


def _options(settings: SlurmSettings, name: str, dask_config: str) -> dict[str, Any]:
    threads = 2 if settings.gpu else 1  # another task may use the CPU beside a GPU block
    directives = [
        f"--signal=B:USR1@{settings.leave_early_s}",
        "--no-requeue",  # a job that Slurm itself restarts would be one worker too many
        *([f"--gres={settings.gpu}"] if settings.gpu else []),
        *settings.directives,
    ]
    modules = ["workflows.worker.leaving", "workflows.worker.recycling"]
    worker_arguments = [argument for module in modules for argument in ("--preload", module)]
    return {
        "queue": settings.partition or None,
        "account": settings.account or None,
        "walltime": settings.walltime,
        "cores": threads,
        "processes": 1,
        "job_cpu": settings.cpus,
        "memory": settings.memory,
        "job_name": name,
        "log_directory": str(Path(settings.log_folder).absolute()),
        "local_directory": "${TMPDIR:-/tmp}",
        # exec replaces the shell by the worker's nanny, so that Slurm's signal to the shell reaches it
        "python": f"exec {shlex.quote(settings.python or sys.executable)}",
        "worker_extra_args": [
            *worker_arguments,
            *("--preload-nanny", "workflows.worker.leaving"),
            *(["--resources", f"{GPU}=1"] if settings.gpu else []),
            "--no-dashboard",
        ],
        "job_extra_directives": directives,
        "job_script_prologue": [
            f"export DASK_INTERNAL_INHERIT_CONFIG={dask_config}",
            f"export OMP_NUM_THREADS={settings.cpus} OPENCV_FOR_THREADS_NUM={settings.cpus}",
            *([] if settings.gpu else ["export CUDA_VISIBLE_DEVICES="]),
            *settings.setup,
        ],
        "scheduler_options": {
            "dashboard_address": "127.0.0.1:0",
            **({"host": settings.host} if settings.host else {}),
        },
        "silence_logs": "critical",
    }


def _check_submission(script: str) -> None:
    """Raise UserError if Slurm would refuse the job; Dask would only write that to its log."""
    test = _slurm("sbatch", "--test-only", text=script)
    if test.returncode:
        raise UserError(f"Slurm refuses the job: {' '.join(test.stderr.split())}")


def _wait_for_first(client: Client, name: str, num_jobs: int, log_folder: str) -> None:
    click.echo(f"waiting for the first of {num_jobs} Slurm jobs named {name}", err=True)
    while not client.nthreads():
        time.sleep(_POLL_S)
        known = _slurm("squeue", "--noheader", "--states=all", "--format=%T", f"--name={name}")
        states = known.stdout.split()  # for some minutes, also of jobs that have ended
        if states and all(state in _OVER for state in states):
            raise UserError(
                f"the Slurm jobs {name} ended before a worker came: {Path(log_folder).absolute()} has their "
                "output; often the nodes lack this Python or, with --tls, the certificates, or cannot reach this "
                "machine (`host`)"
            )


def _keep(cluster: Any, num_jobs: int, ended: threading.Event) -> None:
    while not ended.wait(_RENEW_S):
        cluster.scale(jobs=num_jobs)


def _slurm(*command: str, text: str | None = None) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(  # noqa: S603
            command, input=text, capture_output=True, text=True, timeout=_SLURM_S, env=os.environ
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise UserError(f"{command[0]} does not answer: {error}") from error
