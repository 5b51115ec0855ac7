"""A worker that is told to go finishes its block first: `dask worker --preload` and `--preload-nanny` take this module.

On SIGTERM or SIGUSR1, which batch systems send before a job's time is over, it begins no other block, finishes and
commits the one in hand, hands the rest back to the scheduler, and ends with exit status 0. Dask's own answer to
SIGTERM is to kill what is not done after eight seconds. Another signal changes nothing: SIGKILL is for haste.
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
_leaving: set[asyncio.Task[None]] = set()  # the event loop itself would let them be collected


async def dask_setup(server: Worker | Nanny) -> None:
    """Have this worker, or a worker's nanny in a process of its own, leave in order on a signal."""
    from distributed import Worker

    if isinstance(server, Worker):
        worker = server
        _on_signals(lambda: leave_soon(worker, is_replaced=False))
    else:
        nanny = server
        _on_signals(lambda: _pass_on(nanny))


def leave_soon(worker: Worker, is_replaced: bool) -> None:
    """Let a worker finish what it computes and end; its nanny starts another if `is_replaced`.

    To be called in the worker's event loop; when it is leaving already, nothing changes.
    """
    from distributed.core import Status

    if worker.status in (Status.running, Status.paused):  # Dask pauses one whose memory runs out
        worker.status = Status.closing_gracefully  # from here on it begins no task and is given none
        task = asyncio.ensure_future(_leave(worker, is_replaced))
        _leaving.add(task)
        task.add_done_callback(_leaving.discard)


async def _leave(worker: Worker, is_replaced: bool) -> None:
    while worker.state.executing_count:
        await asyncio.sleep(_POLL_S)
    # a report that nobody has fetched yet would have its block done again
    fetched_by = time.monotonic() + _FETCH_S
    while worker.data and time.monotonic() < fetched_by:
        await asyncio.sleep(_POLL_S)
    with suppress(OSError):  # the scheduler may be gone by now
        await worker.scheduler.retire_workers(
            workers=[worker.address],
            close_workers=False,
            remove=True,
            stimulus_id=f"crface-leave-{time.time()}",
        )
    await worker.close(nanny=not is_replaced, reason="crface-leave")


def _pass_on(nanny: Nanny) -> None:
    """Tell the worker, whose end is the nanny's; a nanny without one has nothing to wait for."""
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
