"""The workers that blocks are spread over: processes of this machine, other hosts, or a Dask cluster that runs."""

from __future__ import annotations

import asyncio
import importlib.util
import logging
import multiprocessing.resource_tracker
import os
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.errors import UsageError, UserError
from workflows.cluster_settings import SlurmSettings, read_cluster_file
from workflows.gpus import check_workers, visible_gpus

if TYPE_CHECKING:
    # importing Dask takes a second, which a run with nothing to do should not pay
    from distributed import Client, LocalCluster

_WORKER_BYTES = 1_500_000_000  # a detector with its activations for an image of some megapixels
_DASHBOARD_PORT = 8787
_WAIT_S = 30
_START_S = 120

_SETTINGS = {
    # a block whose worker died comes back at once: `workflows.scatter` decides about another try
    "distributed.scheduler.allowed-failures": 0,
    # workers keep no data, so pausing one for its memory would only freeze it: let it go on or restart it
    "distributed.worker.memory.target": False,
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.pause": False,
    "distributed.worker.memory.terminate": 0.95,
    # by default a worker that dies again 15 seconds after its first death, to the moment, is not replaced
    "distributed.deploy.lost-worker-timeout": "1000 days",
    # when workers cannot even be started, waiting will not help
    "distributed.scheduler.no-workers-timeout": "2 minutes",
    # the driver has no business with GPUs, not even to watch them
    "distributed.diagnostics.nvml": False,
    "distributed.nanny.pre-spawn-environ": {
        # Dask has the C library give freed memory back at once, and so map each layer's output anew: half as much
        # CPU time again for a block (docs/benchmarks.md)
        "MALLOC_TRIM_THRESHOLD_": None,
        # Dask would set these in the driver's own environment too, where a training may follow
        "OMP_NUM_THREADS": None,
        "MKL_NUM_THREADS": None,
        "OPENBLAS_NUM_THREADS": None,
    },
}


@contextmanager
def open_cluster(address: str, num_blocks: int | None = None) -> Iterator[Client]:
    """Start or join a cluster; closed in a moment, even on an error or Ctrl-C while it computes.

    `local` starts worker processes, as many as cores, memory and `num_blocks` give reason for, that share
    the cores and use no GPU; `local:N` starts N. `cuda` starts one for each GPU of this machine. A worker
    that dies is replaced. The path of a TOML file starts workers by SSH or as Slurm jobs, as the file says
    (`workflows.cluster_settings`). `tcp://HOST:PORT` (or `tls://`) and the path of a scheduler file join a
    cluster that runs, with this package and the same folders on every worker; GPUs are used where its
    workers see any.

    Raises UsageError for another address, UserError when there is no cluster at it, it has no workers, or
    two of them compute on the same GPU.
    """
    kind, _, rest = address.partition(":")
    _silence_dask()
    if kind == "local":
        if rest and not (rest.isdecimal() and int(rest) > 0):
            raise UsageError(f"--cluster {address}: after `local:` comes the number of worker processes")
        with _local_cluster(int(rest) if rest else _num_workers(num_blocks)) as client:
            yield client
    elif address == "cuda":
        if not (devices := visible_gpus()):
            raise UserError("--cluster cuda: this machine has no GPU, or CUDA_VISIBLE_DEVICES hides it")
        with _local_cluster(len(devices), devices) as client:
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
    """Give the address of Dask's dashboard; None if it has none, because bokeh is not installed."""
    return str(client.dashboard_link) if importlib.util.find_spec("bokeh") else None


def _num_workers(num_blocks: int | None) -> int:
    from dask.system import CPU_COUNT
    from distributed.system import MEMORY_LIMIT

    return max(1, min(CPU_COUNT, MEMORY_LIMIT // _WORKER_BYTES, num_blocks or CPU_COUNT))


def _checked(client: Client) -> Client:
    check_workers(client)
    return client


@contextmanager
def _started(file: str, num_blocks: int | None) -> Iterator[Client]:
    settings = read_cluster_file(Path(file))
    if isinstance(settings, SlurmSettings):
        from workflows.slurm_cluster import slurm_cluster

        with slurm_cluster(settings, _SETTINGS, num_blocks) as client:
            yield client
    else:
        from workflows.ssh_cluster import ssh_cluster

        with ssh_cluster(settings, _SETTINGS) as client:
            yield client


@contextmanager
def _local_cluster(num_workers: int, devices: list[str] | None = None) -> Iterator[Client]:
    import dask
    from dask.system import CPU_COUNT
    from distributed import Client, LocalCluster
    from distributed.system import MEMORY_LIMIT

    threads = str(max(1, CPU_COUNT // num_workers))
    environment = {
        name: os.environ.get(name, threads) for name in ("OMP_NUM_THREADS", "OPENCV_FOR_THREADS_NUM")
    }
    inherited = dict(os.environ)
    with dask.config.set(_SETTINGS):
        with _ctrl_c_held():
            options = {
                "host": "127.0.0.1",
                "dashboard_address": f"127.0.0.1:{_free_port()}",
                "silence_logs": logging.CRITICAL,
                "env": {**environment, "CUDA_VISIBLE_DEVICES": ""},
                "memory_limit": MEMORY_LIMIT // num_workers,
                "preload": ["workflows.worker.recycling"],
            }
            if devices is None:
                cluster = LocalCluster(n_workers=num_workers, threads_per_worker=1, **options)  # type: ignore[no-untyped-call]
            else:
                from workflows.cuda_cluster import CudaCluster

                cluster = CudaCluster(devices, **options)
            client = Client(cluster, set_as_default=False)  # type: ignore[no-untyped-call]
        try:
            yield client
        finally:
            with _ctrl_c_held():
                client.close()  # type: ignore[no-untyped-call]
                _kill_workers(cluster)
                cluster.close()
                for name in os.environ.keys() - inherited.keys():
                    del os.environ[name]  # what Dask left there for its workers


@contextmanager
def _joined(address: str) -> Iterator[Client]:
    from workflows.joining import JoiningClient

    try:
        where = {"address": address} if "://" in address else {"scheduler_file": address}
        client = JoiningClient(**where, timeout=_WAIT_S, set_as_default=False)  # type: ignore[no-untyped-call]
    except (
        OSError,
        TimeoutError,
        ValueError,
        RuntimeError,
        TypeError,
    ) as error:  # those two: only one has TLS
        raise UserError(f"no Dask scheduler answers at {address}: {error}") from error
    with client:
        try:
            client.wait_for_workers(1, timeout=_WAIT_S)
        except TimeoutError as error:
            raise UserError(
                f"the cluster at {address} has no workers: start some with `dask worker`"
            ) from error
        yield client


def _kill_workers(cluster: LocalCluster) -> None:
    """End the workers at once: they are idle, or at a block that the next run will compute."""

    async def close_nannies() -> None:
        nannies = list(cluster.workers.values())
        closing = [asyncio.ensure_future(nanny.close()) for nanny in nannies]
        await asyncio.sleep(0)  # now they know that they close, and will not start another worker
        for nanny in nannies:
            if nanny.pid:
                os.kill(nanny.pid, signal.SIGKILL)
        await asyncio.gather(*closing)

    cluster.sync(close_nannies)  # type: ignore[no-untyped-call]


def _silence_dask() -> None:
    """Keep Dask's log off the terminal, for good: connections complain of being closed after all is closed."""
    import distributed  # noqa: F401 - which makes its loggers

    for name in list(logging.root.manager.loggerDict):
        if name.partition(".")[0] in ("distributed", "tornado"):
            logging.getLogger(name).setLevel(logging.CRITICAL)


def _free_port() -> int:
    """Give the dashboard's usual port, or 0 for any where that one is taken."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", _DASHBOARD_PORT))
        except OSError:
            return 0
    return _DASHBOARD_PORT


@contextmanager
def _ctrl_c_held() -> Iterator[None]:
    """Have Ctrl-C wait until the block ends, and keep it from threads and processes started in it for ever.

    A terminal sends it to every process; the workers are the driver's to end, and would print a traceback
    each.
    """
    multiprocessing.resource_tracker.ensure_running()  # starting it later would let the signal through again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
