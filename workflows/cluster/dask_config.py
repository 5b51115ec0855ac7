"""Dask's configuration, and its silence on the terminal."""

from __future__ import annotations

import logging

DASK_SETTINGS = {
    # a block whose worker died is returned at once: `workflows.spread.scatter` decides whether to retry it
    "distributed.scheduler.allowed-failures": 0,
    # workers keep no data, so pausing one for its memory would only freeze it: let it continue or restart it
    "distributed.worker.memory.target": False,
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.pause": False,
    "distributed.worker.memory.terminate": 0.95,
    # by default, a worker that dies again exactly 15 seconds after its first death is not replaced
    "distributed.deploy.lost-worker-timeout": "1000 days",
    # if workers cannot even be started, waiting will not help
    "distributed.scheduler.no-workers-timeout": "2 minutes",
    # by default each process looks after itself fifty times a second, and a worker's profiler a hundred times: together
    # 5 % of a core, which a machine with few of them misses (docs/benchmarks.md)
    "distributed.worker.profile.interval": "100ms",
    "distributed.admin.tick.interval": "200ms",
    # the driver must not touch GPUs, not even to monitor them
    "distributed.diagnostics.nvml": False,
    "distributed.nanny.pre-spawn-environ": {
        # Dask makes the C library return freed memory at once, so that each layer's output is mapped anew: a block
        # then takes half as much CPU time again (docs/benchmarks.md)
        "MALLOC_TRIM_THRESHOLD_": None,
        # Dask would also set these in the driver's own environment, where training may follow
        "OMP_NUM_THREADS": None,
        "MKL_NUM_THREADS": None,
        "OPENBLAS_NUM_THREADS": None,
    },
}


def silence_dask() -> None:
    """Keep Dask's log off the terminal permanently: even after a normal end, connections complain of being closed."""
    import distributed  # noqa: F401 - creates its loggers

    for name in list(logging.root.manager.loggerDict):
        if name.partition(".")[0] in ("distributed", "tornado"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
