"""crface bench cache: the cache stage on a cluster of this machine, beside loops without it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from pipeline.bench.bare_loop import LoopProcesses, digest_of, loop_processes
from pipeline.bench.cache import BARE, BLOCKS, COMMAND, SCRIPT, WORKERS, CacheBench, differing, write_pictures
from pipeline.bench.pairs import timed_rounds
from pipeline.blocks.store import CandidateStore
from pipeline.cache.plan import CacheSpec, plan_cache
from pipeline.cache.work import cache_block, finish_cache, prepare_cache
from pipeline.config.sections import CacheConfig
from pipeline.dataset.index import Index, update_index
from pipeline.workspace.layout import Workspace
from workflows.cluster.open import open_cluster
from workflows.spread.scatter import run_blocks

if TYPE_CHECKING:
    from distributed import Client

    from pipeline.blocks.plan import Block

_SPLIT: Final = "images"
_THREADS: Final = ("OMP_NUM_THREADS", "OPENCV_FOR_THREADS_NUM")


def bench_cache(
    detector: str, num_images: int, long_side_px: int, num_workers: int, num_threads: int, repeats: int
) -> CacheBench:
    """The cache stage and the loops on pictures drawn for this, all in a folder that is removed afterwards.

    The worker processes of the cluster and the processes of the loops are there throughout: only the way that is the
    whole command starts processes. All are single images on the CPU.
    """
    with tempfile.TemporaryDirectory(prefix="crface-bench-") as name, _environment(num_threads):
        folder = Path(name)
        files = write_pictures(folder / "pictures", num_images, long_side_px)
        workspace = Workspace(folder / "run")
        index = update_index(workspace, folder / "pictures", _SPLIT).index
        arrays = folder / "npy"
        arrays.mkdir()
        cluster = f"local:{num_workers}"
        with (
            loop_processes(detector, files, num_workers, num_threads) as loops,
            open_cluster(cluster) as client,
        ):
            client.wait_for_workers(num_workers)
            _begin(workspace, index, detector, client)
            rounds, _ = timed_rounds(
                {
                    BARE: loops.bare,
                    BLOCKS: _in_loops(workspace, index, detector, loops),
                    WORKERS: _on_workers(workspace, index, detector, client),
                    COMMAND: _command(workspace, folder / "pictures", detector, cluster),
                    SCRIPT: lambda: loops.dataloader(arrays),
                },
                repeats,
            )
            different = _different(loops, workspace, index, detector, arrays)
        return CacheBench(
            detector=detector,
            num_images=num_images,
            long_side_px=long_side_px,
            num_workers=num_workers,
            num_threads=num_threads,
            rounds=rounds,
            different=different,
        )


def _in_loops(workspace: Workspace, index: Index, detector: str, loops: LoopProcesses) -> Callable[[], None]:
    return lambda: _carried_out(workspace, index, detector, loops.blocks)


def _on_workers(workspace: Workspace, index: Index, detector: str, client: Client) -> Callable[[], None]:
    def spread(spec: CacheSpec, blocks: Sequence[Block]) -> None:
        run_blocks(client, cache_block, spec, blocks, lambda report: None).check()

    return lambda: _carried_out(workspace, index, detector, spread)


def _begin(workspace: Workspace, index: Index, detector: str, client: Client) -> None:
    """Have every worker load the detector, which one that gets no block of an untimed call would do in a timed one."""
    _carried_out(workspace, index, detector, lambda spec, blocks: client.run(cache_block, spec, blocks[0]))


def _carried_out(
    workspace: Workspace, index: Index, detector: str, compute: Callable[[CacheSpec, Sequence[Block]], object]
) -> None:
    _forget(workspace)
    plan = plan_cache(workspace, index, detector, CacheConfig())
    assert isinstance(plan.spec, CacheSpec), "a single view is not fused"
    prepare_cache(plan)
    compute(plan.spec, plan.blocks)
    finish_cache(plan)


def _command(workspace: Workspace, data: Path, detector: str, cluster: str) -> Callable[[], None]:
    options = ["--data", data, "--out", workspace.root, "--detector", detector, "--cluster", cluster]
    code = "from workflows.cli.main import run_command; run_command()"

    def run() -> None:
        _forget(workspace)
        subprocess.run(  # noqa: S603 - this package's own command
            [sys.executable, "-c", code, "cache", *map(str, options)],
            check=True,
            capture_output=True,
        )

    return run


def _forget(workspace: Workspace) -> None:
    """Remove everything computed; the index stays."""
    for name in ("candidates.zarr", "ledger"):
        shutil.rmtree(Path(str(workspace.root), name), ignore_errors=True)


def _different(
    loops: LoopProcesses, workspace: Workspace, index: Index, detector: str, arrays: Path
) -> tuple[str, ...]:
    expected = loops.digests()
    plan = plan_cache(workspace, index, detector, CacheConfig())
    store = CandidateStore.open(workspace.candidates(plan.key))
    stored = {index.row(row).path: digest_of(store.read(row)) for row in index.ok_rows}
    written = {
        f"{file.stem}.jpg": digest_of(np.load(file, allow_pickle=False)) for file in arrays.glob("*.npy")
    }
    return tuple(sorted({*differing(expected, stored), *differing(expected, written)}))


@contextmanager
def _environment(num_threads: int) -> Iterator[None]:
    """The environment in which processes start with so many threads."""
    before = {name: os.environ.get(name) for name in _THREADS}
    os.environ.update(dict.fromkeys(_THREADS, str(num_threads)))
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})
