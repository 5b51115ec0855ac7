"""Replacing a worker that has grown too large, between two blocks: a preload for `dask worker --preload`.

Libraries leak memory. At 80 % of its limit, Dask pauses a worker, which freezes it for good if no task of its own
holds the memory; at 95 % it kills it in the middle of a block. At 70 %, this module ends it in order, after its
block, and the nanny starts another.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from workflows.worker.leaving import leave_soon

if TYPE_CHECKING:
    from distributed import Worker

RECYCLED_FROM: Final = 0.7
"""Share of its memory limit at which a worker is replaced."""

_LOOK_EVERY_MS = 1000


async def dask_setup(worker: Worker) -> None:
    """Watch this worker's memory every second, unless it has no limit or no nanny."""
    from tornado.ioloop import PeriodicCallback

    limit = worker.memory_manager.memory_limit
    if not limit or not worker.nanny:
        return

    def look() -> None:
        if worker.monitor.get_process_memory() > RECYCLED_FROM * limit:
            leave_soon(worker, is_replaced=True)

    # the worker starts and stops this along with Dask's own callbacks
    worker.periodic_callbacks["crface-recycling"] = PeriodicCallback(look, _LOOK_EVERY_MS)
