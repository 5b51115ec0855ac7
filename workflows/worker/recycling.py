"""A worker that has grown too large makes room for a fresh one between two blocks: `dask worker --preload` takes this.

Libraries leak. Dask pauses a worker at 80 % of its memory limit, which freezes it for good if no task of its own
holds the memory, and kills it at 95 %, in the middle of a block. At 70 % this ends it in order, after its block, and
the nanny starts another.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from workflows.worker.leaving import leave_soon

if TYPE_CHECKING:
    from distributed import Worker

RECYCLED_FROM: Final = 0.7
"""Share of its memory limit from which a worker is replaced."""

_LOOK_EVERY_MS = 1000


async def dask_setup(worker: Worker) -> None:
    """Look at this worker's memory every second; a worker without a limit or a nanny is left alone."""
    from tornado.ioloop import PeriodicCallback

    limit = worker.memory_manager.memory_limit
    if not limit or not worker.nanny:
        return

    def look() -> None:
        if worker.monitor.get_process_memory() > RECYCLED_FROM * limit:
            leave_soon(worker, is_replaced=True)

    # beside Dask's own, which the worker starts once it runs and stops when it closes
    worker.periodic_callbacks["crface-recycling"] = PeriodicCallback(look, _LOOK_EVERY_MS)
