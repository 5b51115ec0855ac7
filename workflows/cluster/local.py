"""Workers as processes on this machine."""

from __future__ import annotations

import asyncio
import logging
import multiprocessing.resource_tracker
import os
import signal
import socket
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from workflows.cluster.dask_config import DASK_SETTINGS

if TYPE_CHECKING:
    # importing Dask takes a second, which a run with nothing to do should not wait for
    from distributed import Client, LocalCluster

_WORKER_BYTES = 1_500_000_000  # a detector and its activations for an image of a few megapixels
_DASHBOARD_PORT = 8787


def num_workers_for(num_blocks: int | None) -> int:
    """Number of workers that cores, memory and blocks justify; at least 1."""
    from dask.system import CPU_COUNT
    from distributed.system import MEMORY_LIMIT

    return max(1, min(CPU_COUNT, MEMORY_LIMIT // _WORKER_BYTES, num_blocks or CPU_COUNT))


@contextmanager
def local_cluster(num_workers: int, devices: list[str] | None = None) -> Iterator[Client]:
    """A client of worker processes that share the cores; with `devices`, one process per GPU."""
    import dask
    from dask.system import CPU_COUNT
    from distributed import Client, LocalCluster
    from distributed.system import MEMORY_LIMIT

    threads = str(max(1, CPU_COUNT // num_workers))
    environment = {
        name: os.environ.get(name, threads) for name in ("OMP_NUM_THREADS", "OPENCV_FOR_THREADS_NUM")
    }
    inherited = dict(os.environ)
    with dask.config.set(DASK_SETTINGS):
        with _ctrl_c_held(), warnings.catch_warnings():
            # another program may take the port after it was found free; Dask then takes any, and says so
            warnings.filterwarnings("ignore", "Port [0-9]+ is already in use")
            options = {
                "host": "127.0.0.1",
                "dashboard_address": f"127.0.0.1:{_free_port()}",
                "silence_logs": logging.CRITICAL,
                "env": {**environment, "CUDA_VISIBLE_DEVICES": ""},
                "memory_limit": MEMORY_LIMIT // num_workers,
                "preload": ["workflows.worker.recycling"],
            }
            if devices is None:
                cluster = LocalCluster(n_workers=num_workers, threads_per_worker=1, **options)
            else:
                from workflows.cluster.cuda import CudaCluster

                cluster = CudaCluster(devices, **options)
            client = Client(cluster, set_as_default=False)
        try:
            yield client
        finally:
            with _ctrl_c_held():
                client.close()
                _kill_workers(cluster)
                cluster.close()
                for name in os.environ.keys() - inherited.keys():
                    del os.environ[name]  # what Dask set for its workers


def _kill_workers(cluster: LocalCluster) -> None:
    """End the workers at once: they are idle, or on a block that the next run will compute."""

    async def close_nannies() -> None:
        nannies = list(cluster.workers.values())
        closing = [asyncio.ensure_future(nanny.close()) for nanny in nannies]
        await asyncio.sleep(0)  # the nannies now know that they close, and start no other worker
        for nanny in nannies:
            if nanny.pid:
                os.kill(nanny.pid, signal.SIGKILL)
        await asyncio.gather(*closing)

    cluster.sync(close_nannies)


def _free_port() -> int:
    """The dashboard's usual port, or 0 (any port) if that is taken."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", _DASHBOARD_PORT))
        except OSError:
            return 0
    return _DASHBOARD_PORT


@contextmanager
def _ctrl_c_held() -> Iterator[None]:
    """Delay Ctrl-C until the block ends, and block it for good in threads and processes started inside.

    A terminal sends Ctrl-C to every process. The driver ends the workers itself; without this, each of them would
    print a traceback.
    """
    multiprocessing.resource_tracker.ensure_running()  # if it started later, it would let the signal through again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
