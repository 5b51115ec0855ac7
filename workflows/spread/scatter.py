"""Handing blocks to workers: a few at a time, with retries, none lost and none left waiting."""

from __future__ import annotations

import time
import uuid
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from pipeline.blocks.plan import Block
from pipeline.errors import UserError
from workflows.cluster.gpus import GPU, gpu_workers
from workflows.worker.lost_gpu import carried_out

if TYPE_CHECKING:
    from distributed import Client, Future

MAX_TRIES: Final = 3
"""Failures after which a block is set aside."""
BLOCKS_PER_THREAD: Final = 2
"""Blocks in flight per worker thread: one being computed and one waiting, so that the thread never waits."""

_RECOUNT_S = 1.0
_MAX_NAMED = 5

Spec = TypeVar("Spec")
Report = TypeVar("Report")


@dataclass(frozen=True, slots=True)
class Outcome(Generic[Report]):
    """What became of all blocks."""

    done: list[Report] = field(default_factory=list)
    """What the tasks returned, in the order they finished; empty if results are not kept."""
    set_aside: list[tuple[Block, str]] = field(default_factory=list)
    """Blocks that failed MAX_TRIES times, each with its last error."""
    num_blocks: int = 0
    """Number of all blocks, finished or not."""

    def check(self) -> None:
        """Raise UserError that names the blocks set aside, if any."""
        if not self.set_aside:
            return
        named = [f"images {block.start} to {block.stop - 1}: {why}" for block, why in self.set_aside]
        more = f"; and {len(named) - _MAX_NAMED} more" if len(named) > _MAX_NAMED else ""
        raise UserError(
            f"{len(named)} of {self.num_blocks} blocks failed {MAX_TRIES} times and were set "
            f"aside: {'; '.join(named[:_MAX_NAMED])}{more}. All others are finished; the same command tries "
            "these again"
        )


def run_blocks(
    client: Client,
    function: Callable[[Spec, Block], Report],
    spec: Spec,
    blocks: Sequence[Block],
    on_report: Callable[[Report], None],
    is_kept: bool = True,
    on_gpu: bool = False,
    on_set_aside: Callable[[Block, str], object] | None = None,
) -> Outcome[Report]:
    """The outcome of calling `function(spec, block)` for every block on the cluster; empty without blocks.

    With `is_kept`, the outcome holds all results. Otherwise each is only passed to `on_report`, which may add them up,
    and no more results are held in memory than blocks are in flight.

    With `on_gpu`, only workers with the Dask resource GPU take blocks, one per GPU at a time. Without it, or if no
    worker has the resource, all workers do.

    However many blocks there are, only BLOCKS_PER_THREAD per worker thread are in flight. A block that
    raises, or whose worker dies, is retried after the others, alone on its worker, so that a crash is not
    blamed on a neighbour; after MAX_TRIES failures it is set aside. `on_report` is called in this process as
    each block finishes, `on_set_aside` with the block and the reason as each is set aside.

    Raises UserError when a task does (the user can fix the cause, and every block would fail of it), or when the
    cluster goes away. Then, as on Ctrl-C, queued blocks are dropped; those being computed may or may not finish,
    and both are safe.
    """
    outcome: Outcome[Report] = Outcome(num_blocks=len(blocks))
    fresh, again = deque(blocks), deque[Block]()
    tries: Counter[int] = Counter()
    flight = _Flight(client, function, spec, on_gpu)
    try:
        while fresh or again or flight.size:
            while fresh and flight.size < BLOCKS_PER_THREAD * flight.num_threads():
                flight.launch(fresh.popleft())
            if not fresh and flight.is_of_retries_only:
                workers = flight.unused_workers()
                while again and (workers or not flight.size):
                    flight.launch(again.popleft(), alone_on=workers.pop() if workers else None)
            block, result = flight.land()
            if not isinstance(result, BaseException):
                if is_kept:
                    outcome.done.append(result)
                on_report(result)
                continue
            reason = _reason(result)
            tries[block.number] += 1
            if tries[block.number] < MAX_TRIES:
                again.append(block)
            else:
                outcome.set_aside.append((block, reason))
                if on_set_aside is not None:
                    on_set_aside(block, reason)
    finally:
        flight.drop()
    return outcome


class _Flight(Generic[Spec, Report]):
    """The blocks that were handed to workers and have not returned."""

    def __init__(
        self, client: Client, function: Callable[[Spec, Block], Report], spec: Spec, on_gpu: bool
    ) -> None:
        from distributed import as_completed

        self._client = client
        self._function = function
        self._spec = spec
        self._on_gpu = on_gpu
        self._resources: dict[str, int] | None = None
        self._blocks: dict[Future[Report], tuple[Block, str | None]] = {}
        self._landed = as_completed(loop=client.loop, with_results=True, raise_errors=False)
        self._num_threads = 0
        self._counted_at = float("-inf")

    @property
    def size(self) -> int:
        """Number of blocks in flight."""
        return len(self._blocks)

    @property
    def is_of_retries_only(self) -> bool:
        """Whether every block in flight is alone on its worker."""
        return all(worker is not None for _, worker in self._blocks.values())

    def num_threads(self) -> int:
        """Threads (or GPUs) of all workers, at least 1; looked up once a second at most."""
        if time.monotonic() - self._counted_at > _RECOUNT_S:
            self._num_threads = sum(self._threads().values())
            self._counted_at = time.monotonic()
        return max(1, self._num_threads)

    def unused_workers(self) -> list[str]:
        """Workers at this moment that have no block to themselves and are not about to leave."""
        used = {worker for _, worker in self._blocks.values()}
        # a block assigned to a worker that leaves would wait for it in vain
        scheduler = self._client.scheduler
        assert scheduler is not None, "the client is connected"
        staying = self._client.sync(scheduler.ncores_running)
        return [worker for worker in self._threads() if worker in staying and worker not in used]

    def launch(self, block: Block, alone_on: str | None = None) -> None:
        """Hand a block to any worker, or to one that has no other block."""
        future = self._client.submit(
            carried_out,
            self._function,
            self._spec,
            block,
            key=f"{self._function.__name__}-{block.number}-{uuid.uuid4().hex[:8]}",
            pure=False,
            workers=alone_on,
            resources=self._resources,
            allow_other_workers=alone_on is not None,  # that worker may die meanwhile
        )
        self._blocks[future] = block, alone_on
        self._landed.add(future)

    def land(self) -> tuple[Block, Report | BaseException]:
        """The next block to return, with the result of its task, or its error."""
        future, result = next(self._landed)
        block, _ = self._blocks.pop(future)
        # the future's status would not do: a result that is here is "lost" if its worker has died since
        if isinstance(result, tuple) and len(result) == 3 and isinstance(result[1], BaseException):
            return block, result[1]  # how Dask hands over (type, exception, traceback)
        return block, result

    def drop(self) -> None:
        """Drop the queued blocks."""
        self._blocks.clear()  # Dask forgets a task whose future nobody holds
        self._landed.clear()

    def _threads(self) -> dict[str, int]:
        gpus = gpu_workers(self._client) if self._on_gpu else {}
        self._resources = {GPU: 1} if gpus else None
        if gpus:
            return gpus
        return dict(self._client.nthreads())


def _reason(error: BaseException) -> str:
    """Why a block failed, in words; raises the errors that end the run."""
    from distributed import CancelledError
    from distributed.scheduler import KilledWorker, NoWorkerError

    if isinstance(error, UserError):
        raise error
    if isinstance(error, CancelledError):
        raise UserError(
            "the cluster is gone; run the same command again: finished blocks are kept"
        ) from error
    if isinstance(error, NoWorkerError):
        raise UserError("no worker is left and none can be started; finished blocks are kept") from error
    if isinstance(error, KilledWorker):
        return "its worker died, which often means that memory ran out"
    # stages note the images that caused an error on it
    images: list[str] = getattr(error, "__notes__", [])
    more = [f"{len(images) - _MAX_NAMED} more"] if len(images) > _MAX_NAMED else []
    named = ", ".join([*images[:_MAX_NAMED], *more])
    return f"{named}{': ' if named else ''}{type(error).__name__}: {error}"
