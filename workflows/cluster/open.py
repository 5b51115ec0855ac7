"""Opening the cluster that computes blocks: processes on this machine, other hosts, or a running Dask cluster."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.errors import UsageError, UserError
from workflows.cluster.dask_config import DASK_SETTINGS, silence_dask
from workflows.cluster.gpus import check_workers, visible_gpus
from workflows.cluster.local import local_cluster, num_workers_for
from workflows.cluster.settings import SlurmSettings, read_cluster_file

if TYPE_CHECKING:
    # importing Dask takes a second, which a run with nothing to do should not wait for
    from distributed import Client

_WAIT_S = 30
_START_S = 120
_NO_ANSWER = (OSError, ValueError, RuntimeError, TypeError)  # the last two if only one side uses TLS


@contextmanager
def open_cluster(address: str, num_blocks: int | None = None) -> Iterator[Client]:
    """Start or join a cluster; it is closed promptly, even on an error or Ctrl-C during the work.

    `local` starts as many worker processes as cores, memory and `num_blocks` justify; they share the cores
    and use no GPU. `local:N` starts N. `cuda` starts one for each GPU of this machine. A worker that dies is
    replaced. The path of a TOML file starts workers over SSH or as Slurm jobs, as the file says
    (`workflows.cluster.settings`). `tcp://HOST:PORT` (or `tls://`) and the path of a scheduler file join a
    running cluster, whose workers must have this package and see the same folders; GPUs are used if its
    workers see any.

    Raises UsageError for any other address, UserError when no cluster answers there, it has no workers, or
    two of them compute on the same GPU.
    """
    kind, _, rest = address.partition(":")
    silence_dask()
    if kind == "local":
        if rest and not (rest.isdecimal() and int(rest) > 0):
            raise UsageError(f"--cluster {address}: after `local:` comes the number of worker processes")
        with local_cluster(int(rest) if rest else num_workers_for(num_blocks)) as client:
            yield client
    elif address == "cuda":
        if not (devices := visible_gpus()):
            raise UserError("--cluster cuda: this machine has no GPU, or CUDA_VISIBLE_DEVICES hides it")
        with local_cluster(len(devices), devices) as client:
            try:
                client.wait_for_workers(len(devices), timeout=_START_S)
            except TimeoutError as error:
                raise UserError(
                    f"the workers of {len(devices)} GPUs did not start within {_START_S} seconds"
                ) from error
            yield _checked(client)
    elif address.endswith(".toml"):
        with _started(address, num_blocks) as client:
            yield _checked(client)
    elif kind in ("tcp", "tls") or Path(address).is_file():
        with _joined(address) as client:
            yield _checked(client)
    else:
        raise UsageError(
            f"there is no cluster {address!r}: give local, local:N, cuda, a TOML file for SSH or Slurm, "
            "tcp://HOST:PORT or a scheduler file"
        )


def dashboard_link(client: Client) -> str | None:
    """Address of Dask's dashboard; None if there is none because bokeh is not installed."""
    return str(client.dashboard_link) if importlib.util.find_spec("bokeh") else None


def _checked(client: Client) -> Client:
    check_workers(client)
    return client


@contextmanager
def _started(file: str, num_blocks: int | None) -> Iterator[Client]:
    settings = read_cluster_file(Path(file))
    if isinstance(settings, SlurmSettings):
        from workflows.cluster.slurm import slurm_cluster

        with slurm_cluster(settings, DASK_SETTINGS, num_blocks) as client:
            yield client
    else:
        from workflows.cluster.ssh import ssh_cluster

        with ssh_cluster(settings, DASK_SETTINGS) as client:
            yield client


@contextmanager
def _joined(address: str) -> Iterator[Client]:
    from workflows.cluster.joining import JoiningClient, is_another_service
    from workflows.cluster.scheduler_file import scheduler_address

    where = address if "://" in address else scheduler_address(Path(address))
    named = address if where == address else f"{where} (named by {address})"
    try:
        client = JoiningClient(where, timeout=_WAIT_S, set_as_default=False)
    except Exception as error:  # Dask raises anything for a foreign server's message, even MemoryError
        if not isinstance(error, _NO_ANSWER) or is_another_service(where):
            raise UserError(
                f"what answers at {named} is no Dask scheduler: give the scheduler's own address; its port is "
                "usually 8786, and 8787 is that of its dashboard"
            ) from error
        raise UserError(f"no Dask scheduler answers at {named}: {error}") from error
    with client:
        try:
            client.wait_for_workers(1, timeout=_WAIT_S)
        except TimeoutError as error:
            raise UserError(
                f"the cluster at {address} has no workers: start some with `dask worker`"
            ) from error
        yield client
