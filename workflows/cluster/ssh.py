"""Workers on other hosts, started and ended over SSH."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from pipeline.errors import UserError
from workflows.cluster.gpus import GPU
from workflows.cluster.settings import SshSettings

if TYPE_CHECKING:
    from distributed import Client

_START_S = 120


@contextmanager
def ssh_cluster(settings: SshSettings, inherited: dict[str, Any]) -> Iterator[Client]:
    """Start the workers that `settings` describes, with the scheduler in this process; all end with it.

    The hosts are reached with `~/.ssh/config` and the SSH agent, and must be able to reach this machine. `inherited`
    is Dask's configuration for the scheduler and the workers.

    Raises UserError when a host cannot be reached or its worker does not start.
    """
    import dask
    from distributed import Client, Scheduler, SpecCluster

    try:
        import asyncssh
    except ImportError as error:
        raise UserError("--cluster with kind ssh needs asyncssh: pip install 'crface[ssh]'") from error
    scheduler = {
        "cls": Scheduler,
        "options": {
            "dashboard_address": "127.0.0.1:0",
            **({"host": settings.host} if settings.host else {}),
        },
    }
    workers = _workers(settings)
    preloads = {
        "distributed.worker.preload": ["workflows.worker.leaving", "workflows.worker.recycling"],
        "distributed.nanny.preload": ["workflows.worker.leaving"],
    }
    with dask.config.set({**inherited, **preloads}):
        try:
            cluster = SpecCluster(workers, scheduler, silence_logs="critical")
        except (asyncssh.Error, OSError) as error:
            raise UserError(
                f"cannot start workers by SSH: {error}; `ssh HOST` must work without a prompt"
            ) from error
        except Exception as error:  # Dask raises nothing more specific when a remote command ends
            raise UserError(
                f"a worker did not start on one of {', '.join(settings.hosts)}: {error}; the hosts need this "
                "Python with this package (`python`), with --tls its certificates under the same path, and must reach "
                "this machine (`host`)"
            ) from error
        with cluster, Client(cluster, set_as_default=False) as client:
            try:
                client.wait_for_workers(len(workers), timeout=_START_S)
            except TimeoutError as error:
                num_came = len(client.nthreads())
                raise UserError(
                    f"{num_came} of {len(workers)} workers came within {_START_S} seconds: can all of "
                    f"{', '.join(settings.hosts)} reach this machine at {cluster.scheduler_address}?"
                ) from error
            yield client


def _workers(settings: SshSettings) -> dict[str, Any]:
    from distributed.deploy.ssh import Worker

    devices = [str(number) for number in range(settings.gpus)] or [""] * settings.workers
    return {
        f"{host}-{number}": {
            "cls": Worker,
            "options": {
                "address": host,
                "connect_options": {},
                "remote_python": settings.python or shlex.quote(sys.executable),
                "kwargs": {
                    "name": f"{host}-{number}",
                    "nthreads": 2 if settings.gpus else 1,
                    "env": {
                        "CUDA_VISIBLE_DEVICES": device,
                        "OMP_NUM_THREADS": str(settings.cpus),
                        "OPENCV_FOR_THREADS_NUM": str(settings.cpus),
                    },
                    **({"resources": {GPU: 1}} if settings.gpus else {}),
                    **({"memory_limit": settings.memory} if settings.memory else {}),
                },
            },
        }
        for host in settings.hosts
        for number, device in enumerate(devices)
    }
