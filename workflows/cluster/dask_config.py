"""How Dask is configured here, and kept off the terminal."""

from __future__ import annotations

import logging

DASK_SETTINGS = {
    # a block whose worker died comes back at once: `workflows.spread.scatter` decides about another try
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


def silence_dask() -> None:
    """Keep Dask's log off the terminal, for good: connections complain of being closed after all is closed."""
    import distributed  # noqa: F401 - which makes its loggers

    for name in list(logging.root.manager.loggerDict):
        if name.partition(".")[0] in ("distributed", "tornado"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
