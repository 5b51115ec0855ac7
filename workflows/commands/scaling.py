"""The cost of the pipeline's own work for very many images: index, plan, ledger, and handing blocks to workers.

No image is read and no detector runs. The index and the ledger are real ones of made-up rows; the workers are
simulated: threads of this process under a real scheduler, each sleeping as long as a block would take. Driver,
scheduler and workers are therefore one process, and its memory and processor time are those of all together.
"""

from __future__ import annotations

import hashlib
import logging
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil

from pipeline.blocks.commit import BlockReport
from pipeline.blocks.ledger import Ledger, LedgerRow
from pipeline.blocks.plan import Block, Cause, plan_blocks
from pipeline.dataset.index import Index, load_index, planned_rows
from pipeline.dataset.index_file import Header, ImageRow, write_index_file
from pipeline.workspace.layout import Workspace
from workflows.spread.scatter import run_blocks

_FACES_PER_IMAGE = 12  # of WIDER FACE
_SAMPLES = 10
_OF_MANY_WORKERS_IN_ONE_PROCESS = {
    # each would look at the same process a hundred times a second, which is more than all else it does
    "distributed.worker.profile.enabled": False,
    "distributed.admin.tick.interval": "1s",
    "distributed.admin.system-monitor.interval": "10s",
    "distributed.admin.system-monitor.disk": False,
    # Dask's logs of each worker's last thousand messages and transitions, on both sides: they stop growing only after
    # five hundred blocks a worker, and until then hide whether anything else grows
    "distributed.admin.low-level-log-length": 20,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step of the driver: how long it took, and what this process holds after it."""

    what: str
    seconds: float
    cpu_seconds: float
    """Processor time, which other programs on the machine change little."""
    rss_mb: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """What it took the workers to do all blocks."""

    num_blocks: int
    num_workers: int
    block_seconds: float
    """How long a worker takes for a block."""
    seconds: float
    cpu_ms_per_block: float
    """Of driver, scheduler and workers together."""
    rss_mb: tuple[float, ...]
    """Of this process before the first block, and each time another tenth of the blocks was done."""

    @property
    def overhead(self) -> float:
        """The share of the time in which workers had no block to work on (0..1)."""
        return 1 - self.num_blocks * self.block_seconds / self.num_workers / self.seconds


def measure_index(num_images: int, block_images: int) -> list[Step]:
    """Time the driver's steps on an index of made-up rows, with every block's ledger row written and gathered."""
    steps = []

    @contextmanager
    def step(what: str) -> Iterator[None]:
        started, cpu = time.perf_counter(), time.process_time()
        yield
        seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
        steps.append(Step(what=what, seconds=seconds, cpu_seconds=cpu, rss_mb=_rss_mb()))

    with tempfile.TemporaryDirectory() as folder:
        workspace = Workspace(Path(folder))
        with step("make the rows"):
            rows = [_row(number) for number in range(num_images)]
        with step("write the index"):
            write_index_file(workspace.index("val"), Header("val", "/data", "", ""), rows)
        del rows
        with step("read the index"):
            index = load_index(workspace, "val")
        digest = index.digest
        with step("plan, nothing done"):
            blocks = plan_blocks(index.row_digests, {}, {}, block_images)
        ledger = Ledger(workspace.root / "ledger")
        with step("write a ledger row a block"):
            for block in blocks:
                ledger.commit(_ledger_row(index, block))
        with step("gather the ledger"):
            ledger.gather()
        with step("a worker: its block's ledger row"):
            ledger.row(blocks[-1].number)
        with step("a worker: its block's images"):
            planned_rows(workspace, "val", digest, blocks[-1].start, blocks[-1].stop)
        with step("plan, all done"):
            sizes = {block.number: (1000, 20) for block in blocks}
            assert not plan_blocks(index.row_digests, ledger.read(), sizes, block_images, num_images)
    return steps


def measure_spread(
    num_images: int,
    block_images: int,
    num_workers: int,
    block_seconds: float,
    progress: Callable[[int], None] | None = None,
) -> Spread:
    """Run the blocks of `num_images` on sleeping workers; `progress` is called with the images of each block."""
    import dask
    from distributed import Client, LocalCluster

    starts = range(0, num_images, block_images)
    blocks = [
        Block(n, a, b := min(a + block_images, num_images), range(a, b), ((Cause.NEW, b - a),))
        for n, a in enumerate(starts)
    ]
    every = max(1, len(blocks) // _SAMPLES)
    num_done = 0
    with (
        dask.config.set(_OF_MANY_WORKERS_IN_ONE_PROCESS),
        LocalCluster(
            n_workers=num_workers,
            threads_per_worker=1,
            processes=False,
            protocol="tcp://",  # as between machines: messages are packed and sent
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",
            memory_limit=0,
            silence_logs=logging.CRITICAL,
        ) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        rss = [_rss_mb()]

        def take(report: BlockReport) -> None:
            nonlocal num_done
            num_done += 1
            if num_done % every == 0:
                rss.append(_rss_mb())
            if progress is not None:
                progress(report.num_images)

        started, cpu = time.perf_counter(), time.process_time()
        run_blocks(client, _sleep, block_seconds, blocks, take, is_kept=False).check()
        seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
    return Spread(
        num_blocks=len(blocks),
        num_workers=num_workers,
        block_seconds=block_seconds,
        seconds=seconds,
        cpu_ms_per_block=1000 * cpu / len(blocks),
        rss_mb=tuple(rss),
    )


def as_lines(steps: list[Step], spread: Spread) -> list[str]:
    """The figures as text, 80 columns wide."""
    width = max(len(step.what) for step in steps)
    return [
        f"{'':<{width}}  seconds  processor, s  memory, MB",
        *(
            f"{step.what:<{width}}  {step.seconds:7.2f}  {step.cpu_seconds:12.2f}  {step.rss_mb:10.0f}"
            for step in steps
        ),
        "",
        f"{spread.num_blocks} blocks of {spread.block_seconds:g} s on {spread.num_workers} workers:"
        f" {spread.seconds:.1f} s, overhead {100 * spread.overhead:.1f} %,",
        f"{spread.cpu_ms_per_block:.1f} ms of processor time a block for driver, scheduler and workers;",
        f"memory, MB, from start to end: {' '.join(f'{value:.0f}' for value in spread.rss_mb)}",
    ]


def _sleep(block_seconds: float, block: Block) -> BlockReport:
    time.sleep(block_seconds)
    return BlockReport(block.number, len(block.rows), block_seconds, ())


def _row(number: int) -> ImageRow:
    faces = np.full((_FACES_PER_IMAGE, 4), number % 1000, np.float32)
    return ImageRow(
        row=number,
        path=f"{number // 1000}--Event/{number}_Event_{number:09d}.jpg",
        width=1024,
        height=768,
        sha256=hashlib.sha256(number.to_bytes(8, "little")).hexdigest(),
        size_bytes=number,
        mtime_ns=number,
        status="ok",
        reason="",
        faces=faces,
        is_valid=np.ones(_FACES_PER_IMAGE, np.bool_),
        attributes=np.zeros((_FACES_PER_IMAGE, 6), np.int8),
    )


def _ledger_row(index: Index, block: Block) -> LedgerRow:
    return LedgerRow(
        block=block.number,
        start=block.start,
        stop=block.stop,
        row_digests=index.row_digests[block.start : block.stop],
        shard_bytes=(1000, 20),
    )


def _rss_mb() -> float:
    return float(psutil.Process().memory_info().rss / 1e6)
