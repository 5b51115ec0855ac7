"""Processes killed at random moments, again and again: in the end the store is that of an undisturbed run."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest
from cache_job import Job
from drivers import Start, start_driver, workers_of
from fake_detector import SLOW
from places import ROOT, SUPPORT

__all__ = ["start_driver"]  # a fixture

NUM_FORKS_KILLED = 42
NUM_KILLED = 8
NUM_IMAGES = 40
BLOCK_IMAGES = 2


class Forks:
    """A process that starts runs and tells of them."""

    def __init__(self, process: "subprocess.Popen[str]"):
        self._process = process

    def start(self) -> int:
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return int(self._line())

    def ended(self) -> int:
        return int(self._line())

    def _line(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the process that forks has ended"
        return line


@contextmanager
def forks(job: Job) -> Iterator[Forks]:
    process = subprocess.Popen(
        [sys.executable, str(SUPPORT / "chaos_forks.py"), str(job.workspace.root), str(job.photos)],
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{SUPPORT}", "FAKE_DETECTOR_LOG": str(job.log)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield Forks(process)
    finally:
        process.kill()
        process.communicate()


def num_forwarded(job: Job) -> int:
    return len(job.forwarded)


def is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def test_runs_killed_at_random_moments_leave_the_store_of_an_undisturbed_run(
    tmp_path: Path,
) -> None:
    chance = random.Random(0)
    job = Job(tmp_path)
    job.draw_many(NUM_IMAGES)
    asked, killed = NUM_IMAGES, 0
    with forks(job) as runs:
        while killed < NUM_FORKS_KILLED:
            run = runs.start()
            # some images further, and then anywhere in what is done with a block
            enough = num_forwarded(job) + chance.randrange(1, 7)
            while num_forwarded(job) < enough and is_alive(run):
                time.sleep(0.001)
            time.sleep(chance.random() * 0.03)
            with suppress(ProcessLookupError):
                os.kill(run, signal.SIGKILL)
            if runs.ended() == signal.SIGKILL:
                killed += 1
                continue
            for number in chance.sample(range(NUM_IMAGES), 8):  # all is done: there shall be something to do
                job.draw(number, red=chance.randrange(1, 200))
            asked += 8
        runs.start()
        assert runs.ended() == 0
    assert job.plan(block_images=BLOCK_IMAGES).blocks == []
    assert num_forwarded(job) <= asked + killed * BLOCK_IMAGES
    assert [path for path in job.workspace.root.rglob(".*") if path.name != ".lock"] == []
    assert job.stored_files() == job.undisturbed(tmp_path / "undisturbed", BLOCK_IMAGES)


@pytest.mark.timeout(900)
def test_workers_and_drivers_killed_and_stopped_at_random_leave_the_store_of_an_undisturbed_run(
    tmp_path: Path, start_driver: Start
) -> None:
    chance = random.Random(1)
    job = Job(tmp_path)
    job.draw_many(NUM_IMAGES, green=SLOW)
    deadline = time.monotonic() + 850
    driver, killed = start_driver(job, "local:2"), 0
    while killed < NUM_KILLED:
        enough = num_forwarded(job) + 2
        while num_forwarded(job) < enough and driver.poll() is None:
            assert time.monotonic() < deadline, f"{killed} killed, {num_forwarded(job)} images seen"
            time.sleep(0.01)
        time.sleep(chance.random() * 0.3)
        if driver.poll() is not None:
            driver.communicate()
            for number in chance.sample(range(NUM_IMAGES), 12):  # there shall be something to do
                job.draw(number, red=chance.randrange(1, 200), green=SLOW)
            driver = start_driver(job, "local:2")
            continue
        whom = chance.choice(["worker", "worker", "worker", "driver", "stopped"])
        workers = workers_of(driver)
        with suppress(psutil.NoSuchProcess):
            if whom == "driver":
                driver.kill()
                driver.communicate()
                killed += 1
            elif workers and whom == "worker":
                chance.choice(workers).kill()
                killed += 1
            elif workers:
                (stopped := chance.choice(workers)).suspend()
                time.sleep(0.3)
                stopped.resume()
    driver.communicate()
    job.draw(
        0, red=200, green=SLOW
    )  # what a killed run has left, the next one that has something to do removes
    while job.plan(block_images=BLOCK_IMAGES).blocks:
        start_driver(job, "local:2").communicate(timeout=max(1, deadline - time.monotonic()))
    assert job.stored_files() == job.undisturbed(tmp_path / "undisturbed", BLOCK_IMAGES)
