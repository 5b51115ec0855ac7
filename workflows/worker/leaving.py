"""Orderly leaving: a preload for `dask worker --preload` and `--preload-nanny`.

On SIGTERM or SIGUSR1, which batch systems send before a job's time is over, a worker begins no other block, finishes
and commits its current one, returns the rest to the scheduler, and ends with exit status 0. Dask's own reaction to
SIGTERM is to kill what is not done after eight seconds. A second signal changes nothing; SIGKILL ends it at once.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from distributed import Nanny, Worker

_SIGNALS = (signal.SIGTERM, signal.SIGUSR1)
_POLL_S = 0.1
_FETCH_S = 30
_leaving: set[asyncio.Task[None]] = set()  # the event loop alone would let them be garbage-collected


async def dask_setup(server: Worker | Nanny) -> None:
    """Make this worker, or a nanny in a process of its own, leave in order on a signal."""
    from distributed import Worker

    if isinstance(server, Worker):
        worker = server
        _on_signals(lambda: leave_soon(worker, is_replaced=False))
    else:
        nanny = server
        _on_signals(lambda: _pass_on(nanny))


def leave_soon(worker: Worker, is_replaced: bool) -> None:
    """End a worker after its running tasks; its nanny starts another if `is_replaced`.

    To be called in the worker's event loop; has no effect on a worker that is already leaving.
    """
    from distributed.core import Status

    if worker.status in (Status.running, Status.paused):  # paused: Dask does that when memory runs out
        worker.status = Status.closing_gracefully  # from now on it neither begins nor is given tasks
        task = asyncio.ensure_future(_leave(worker, is_replaced))
        _leaving.add(task)
        task.add_done_callback(_leaving.discard)


async def _leave(worker: Worker, is_replaced: bool) -> None:
    while worker.state.executing_count:
        await asyncio.sleep(_POLL_S)
    # a block whose report nobody has fetched would be computed again
    fetched_by = time.monotonic() + _FETCH_S
    while worker.data and time.monotonic() < fetched_by:
        await asyncio.sleep(_POLL_S)
    with suppress(OSError):  # the scheduler may be gone
        await worker.scheduler.retire_workers(
            workers=[worker.address],
            close_workers=False,
            remove=True,
            stimulus_id=f"crface-leave-{time.time()}",
        )
    await worker.close(nanny=not is_replaced, reason="crface-leave")


def _pass_on(nanny: Nanny) -> None:
    """Signal the worker, whose end also ends the nanny; close a nanny that has no worker."""
    if nanny.pid and nanny.is_alive():
        with suppress(ProcessLookupError):
            os.kill(nanny.pid, signal.SIGUSR1)
    else:
        task = asyncio.ensure_future(_close(nanny))
        _leaving.add(task)
        task.add_done_callback(_leaving.discard)


async def _close(nanny: Nanny) -> None:
    await nanny.close(reason="crface-leave")


def _on_signals(action: Callable[[], None]) -> None:
    loop = asyncio.get_running_loop()
    for number in _SIGNALS:
        signal.signal(number, lambda *_: loop.call_soon_threadsafe(action))
