"""Trouble of every other kind: the run goes on, or ends with a sentence, and the next run goes on where it stopped."""

import errno
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from io import RawIOBase
from pathlib import Path

import block_tasks
import dask
import numpy as np
import pytest
from cache_job import Job
from distributed import Client, LocalCluster
from drivers import Start, start_driver, wait_for_images, workers_of
from fake_detector import SLOW, expected
from places import ROOT, SUPPORT
from thread_cluster import open_thread_cluster

from pipeline.blocks import ledger, store
from pipeline.cache import work as cache_stage
from pipeline.cache.work import cache_block, finish_cache, prepare_cache
from pipeline.errors import UserError
from pipeline.workspace.layout import Workspace
from pipeline.workspace.writing import write_atomically
from workflows.cluster import dask_config
from workflows.spread.scatter import MAX_TRIES, run_blocks

__all__ = ["start_driver"]  # a fixture


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Job:
    job = Job(tmp_path)
    monkeypatch.setenv("FAKE_DETECTOR_LOG", str(job.log))
    job.draw_many(10)
    return job


def test_a_worker_that_takes_too_much_memory_is_ended_and_its_block_set_aside(tmp_path: Path) -> None:
    dask_config.silence_dask()
    with (
        dask.config.set(dask_config.DASK_SETTINGS),
        LocalCluster(
            n_workers=1,
            threads_per_worker=1,
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",
            memory_limit="700MB",
        ) as limited,
        Client(limited, set_as_default=False) as client,
    ):
        outcome = run_blocks(
            client,
            block_tasks.takes_all_memory_on_one,
            str(tmp_path),
            block_tasks.blocks(3),
            block_tasks.ignore,
        )
    assert sorted(outcome.done) == [0, 2]
    ((block, why),) = outcome.set_aside
    assert (block.number, why) == (1, "its worker died, which often means that memory ran out")
    assert block_tasks.tries(tmp_path)[1] == MAX_TRIES


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of a few hundred kilobytes."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=160k", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("a small disk can be mounted by root alone")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(file: RawIOBase) -> None:
    while True:
        file.write(b"x" * 4096)


def test_a_full_disk_ends_the_run_with_a_sentence_and_the_next_goes_on(
    job: Job, small_disk: Path, tmp_path: Path
) -> None:
    job.workspace = Workspace(small_disk / "run")
    prepare_cache(plan := job.plan())
    ballast = small_disk / "ballast"
    with ballast.open("wb", buffering=0) as file, pytest.raises(OSError, match="No space left"):
        fill(file)
    with pytest.raises(UserError, match=r"cannot write block 0 of .*: No space left on device; fix that"):
        cache_block(plan.spec, plan.blocks[0])
    ballast.unlink()
    job.run()
    assert job.store.counts().tolist() == list(range(1, 11))
    assert job.stored_files() == job.undisturbed(tmp_path / "other")


def on_a_store_that(
    write: Callable[[Path, bytes], None], monkeypatch: pytest.MonkeyPatch, job: Job
) -> list[tuple[int, str]]:
    """Compute everything with all writes of blocks and ledger going through `write`; give what is set aside."""
    prepare_cache(plan := job.plan(block_images=2))
    with monkeypatch.context() as patch, open_thread_cluster() as client:
        patch.setattr(store, "write_atomically", write)
        patch.setattr(ledger, "write_atomically", write)
        outcome = run_blocks(client, cache_block, plan.spec, plan.blocks, block_tasks.ignore)
    finish_cache(plan)
    return [(block.number, why) for block, why in outcome.set_aside]


def test_a_store_that_fails_every_tenth_write_and_answers_late_costs_tries_and_nothing_else(
    job: Job, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    writes = 0

    def flaky(path: Path, data: bytes) -> None:
        nonlocal writes
        writes += 1
        time.sleep(0.05)
        if writes % 10 == 0:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        write_atomically(path, data)

    assert on_a_store_that(flaky, monkeypatch, job) == []
    assert writes > 10
    assert job.plan().blocks == []
    other = tmp_path / "other"
    other.mkdir()
    again = Job(other)
    again.photos = job.photos
    assert on_a_store_that(write_atomically, monkeypatch, again) == []
    assert job.stored_files() == again.stored_files()


def test_a_block_that_can_never_be_written_is_set_aside_with_the_stores_own_words(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses_block_2(path: Path, data: bytes) -> None:
        if path.name == "2" or path.parent.parent.name == "2":
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        write_atomically(path, data)

    ((number, why),) = on_a_store_that(refuses_block_2, monkeypatch, job)
    assert number == 2
    assert why == "OSError: [Errno 5] Input/output error"
    assert job.store.counts().tolist() == [1, 2, 3, 4, -1, -1, 7, 8, 9, 10]


def test_a_gpu_without_room_for_the_batch_gets_fewer_images_at_a_time_and_the_same_candidates(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache_stage, "_device", lambda: ("cuda", "a GPU"))
    monkeypatch.setenv("FAKE_DETECTOR_ROOM", "2")
    plan = job.plan("fake_detector:LIMITED", block_images=10)
    prepare_cache(plan)
    cache_block(plan.spec, plan.blocks[0])
    assert job.log.read_text().split()[::2] == ["10", "5", "2", "3", "1", "2", "5", "2", "3", "1", "2"]
    written = store.CandidateStore.open(job.workspace.candidates(plan.key))
    for row in range(10):
        assert np.array_equal(written.read(row), expected(row + 1))


def test_a_gpu_without_room_for_one_image_fails_the_block_and_is_not_asked_for_ever(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache_stage, "_device", lambda: ("cuda", "a GPU"))
    monkeypatch.setenv("FAKE_DETECTOR_ROOM", "0")
    plan = job.plan("fake_detector:LIMITED", block_images=10)
    prepare_cache(plan)
    with open_thread_cluster() as client:
        outcome = run_blocks(client, cache_block, plan.spec, plan.blocks, block_tasks.ignore)
    ((_, why),) = outcome.set_aside
    assert why == "000.png: OutOfMemoryError: CUDA out of memory (so says the test)"
    assert len(job.log.read_text().splitlines()) == MAX_TRIES * len(("10", "5", "2", "1"))


@pytest.mark.parametrize("then", [0.0, 4e9])
def test_clocks_decide_nothing(job: Job, monkeypatch: pytest.MonkeyPatch, then: float) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(time, "strftime", lambda *_: time.asctime(time.gmtime(then)))
        patch.setattr(time, "time", lambda: then)
        job.run()
    for path in job.workspace.root.rglob("*"):
        os.utime(path, (then, then))
    assert job.plan().blocks == []
    job.draw(3, red=33)
    job.run()
    assert job.forwarded == [33]
    assert job.plan().blocks == []


def test_a_data_folder_is_only_read(job: Job) -> None:
    def seen() -> dict[str, tuple[int, int]]:
        stats = {path.name: path.stat() for path in [job.photos, *job.photos.iterdir()]}
        return {name: (stat.st_mtime_ns, stat.st_mode) for name, stat in stats.items()}

    for path in [*job.photos.iterdir(), job.photos]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    before = seen()
    job.run()
    assert seen() == before
    assert job.plan().blocks == []
    job.photos.chmod(0o755)


def test_spaces_unicode_and_names_of_255_bytes_are_names_like_others(tmp_path: Path) -> None:
    root = tmp_path / "Bilder vom  Müller; 写真 100%"
    root.mkdir()
    job = Job(root)
    names = ["a b.png", "ü.png", "写真.png", "x" * 251 + ".png", "é" * 125 + "1.png", "%41#?&.png"]
    for number, name in enumerate(names):
        assert len(os.fsencode(name)) <= 255
        job.draw(number, red=number + 1).rename(job.photos / name)
    job.run()
    index = job.index()
    found = {row.path: job.store.read(row.row) for row in index.all_rows}
    for number, name in enumerate(names):
        assert np.array_equal(found[name], expected(number + 1))
    assert job.plan().blocks == []


def test_a_stopped_worker_is_done_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, start_driver: Start
) -> None:
    # how long a worker may be silent is Dask's setting, five minutes unless one says otherwise
    monkeypatch.setenv("DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL", "10s")
    job = Job(tmp_path)
    job.draw_many(24, green=SLOW)
    driver = start_driver(job, "local:2")
    wait_for_images(job, 3)
    stopped = workers_of(driver)[0]
    stopped.suspend()
    _, complaints = driver.communicate(timeout=250)
    assert driver.returncode == 0, complaints
    assert job.store.counts().tolist() == list(range(1, 25))
    assert not stopped.is_running()


def test_a_killed_scheduler_ends_the_run_with_a_sentence_and_the_next_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, start_driver: Start
) -> None:
    monkeypatch.setenv("DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT", "5s")
    job = Job(tmp_path)
    job.draw_many(24, green=SLOW)
    environment = {
        **os.environ,
        "PYTHONPATH": f"{ROOT}:{SUPPORT}",
        "FAKE_DETECTOR_LOG": str(job.log),
    }
    file = tmp_path / "scheduler.json"
    started: list[subprocess.Popen[bytes]] = []

    def begin(kind: str, *arguments: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", f"distributed.cli.dask_{kind}", *arguments]
        started.append(
            subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        )
        return started[-1]

    try:
        local = ["--host", "127.0.0.1", "--scheduler-file", str(file), "--no-dashboard"]
        scheduler = begin("scheduler", *local, "--port", "0")
        deadline = time.monotonic() + 120
        while not file.exists():
            assert time.monotonic() < deadline
            time.sleep(0.1)
        begin("worker", *local, "--nthreads", "1", "--no-nanny", "--death-timeout", "5")
        driver = start_driver(job, str(file))
        wait_for_images(job, 5)
        scheduler.send_signal(signal.SIGKILL)
        _, complaints = driver.communicate(timeout=200)
        assert driver.returncode == 1
        assert "the cluster is gone; run the same command again: finished blocks are kept" in complaints
    finally:
        for process in started:
            process.kill()
            process.wait()
    num_before = len(job.forwarded)
    assert 0 < num_before < 24
    assert start_driver(job, "local:1").wait(timeout=200) == 0
    assert job.store.counts().tolist() == list(range(1, 25))
    assert len(job.forwarded) <= 24 + 2 * 2  # two blocks were in flight


def test_a_link_that_answers_late_is_waited_for(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = threading.Event()

    def late(path: Path, data: bytes) -> None:
        gate.wait(timeout=20)
        write_atomically(path, data)

    threading.Timer(1.5, gate.set).start()
    assert on_a_store_that(late, monkeypatch, job) == []
    assert job.plan().blocks == []
