"""A worker's memory stays where it is over many images, and a worker that has grown all the same is replaced."""

import os
import threading
import time
from collections import Counter
from pathlib import Path

import block_tasks
import cv2
import numpy as np
import psutil
import pytest
from cache_job import Job
from dask_processes import DaskProcesses

import detectors
from pipeline.cache.work import cache_block, prepare_cache
from workflows.cluster.open import open_cluster
from workflows.spread.scatter import run_blocks
from workflows.worker.recycling import RECYCLED_FROM

pytestmark = pytest.mark.timeout(900)  # of a busy machine

NUM_IMAGES = 2000
MIB = 2**20


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_the_memory_of_a_worker_reaches_a_plateau_over_2000_images(tmp_path: Path) -> None:
    job = Job(tmp_path)
    for number in range(NUM_IMAGES):
        pixels = np.zeros((4, 4, 3), np.uint8)
        pixels[0, 0, 2] = 200  # so many candidates
        pixels[1, 1] = number % 256, number // 256, 0
        (job.photos / f"{number:04d}.png").write_bytes(cv2.imencode(".png", pixels)[1].tobytes())
    plan = job.plan(block_images=50)
    prepare_cache(plan)
    used: list[int] = []
    with open_cluster("local:1") as client:
        (pid,) = client.run(os.getpid).values()
        worker = psutil.Process(pid)
        run_blocks(
            client, cache_block, plan.spec, plan.blocks, lambda _: used.append(worker.memory_info().rss)
        ).check()
        assert list(client.run(os.getpid).values()) == [pid]
    assert len(used) == NUM_IMAGES // 50
    # a leak of one decoded VGA image in a hundred images would be 14 MiB here
    early, late = max(used[:10]), max(used[-10:])
    assert late - early < 12 * MIB, [round(rss / MIB) for rss in used]


def test_a_worker_that_has_grown_too_large_is_replaced_after_its_block_and_nothing_is_done_twice(
    tmp_path: Path,
) -> None:
    tries = tmp_path / "tries"
    tries.mkdir()
    limit = 1000 * MIB
    with DaskProcesses(tmp_path) as dask:
        dask.start_scheduler()
        dask.start_worker("worker", "--memory-limit", str(limit), "--preload", "workflows.worker.recycling")
        with open_cluster(str(dask.file)) as client:
            outcome = run_blocks(client, block_tasks.leaks, str(tries), block_tasks.blocks(9), lambda _: None)
    outcome.check()
    assert Counter(int(path.name.split("-")[0]) for path in tries.iterdir()) == Counter(range(9))
    pids = [pid for pid, _ in sorted(outcome.done, key=lambda done: done[1])]
    assert 1 < len(set(pids)) < 9
    assert max(Counter(pids).values()) * block_tasks.LEAK_BYTES < limit
    assert pytest.approx(0.7) == RECYCLED_FROM


def test_a_detector_at_work_leaves_other_threads_their_turn() -> None:
    # those that send a worker's heartbeats: Dask gives a worker up after five minutes without one
    detector = detectors.create("retinaface-mobilenet0.25")
    image = np.zeros((1200, 1600, 3), np.uint8)
    turns = 0
    is_over = threading.Event()

    def count() -> None:
        nonlocal turns
        while not is_over.wait(0.005):
            turns += 1

    thread = threading.Thread(target=count)
    thread.start()
    started = time.perf_counter()
    while turns < 3 and time.perf_counter() - started < 100:
        turns = 0
        detector.candidates([image])  # one call, in C++ for nearly all of its time
    is_over.set()
    thread.join()
    assert turns >= 3
