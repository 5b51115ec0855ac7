"""The cache stage in processes of its own, as a test starts, watches and kills them."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator

import psutil
import pytest
from cache_job import Job
from dask_processes import wait_until
from places import ROOT, SUPPORT

Start = Callable[[Job, str], subprocess.Popen[str]]


@pytest.fixture
def start_driver() -> Iterator[Start]:
    """Start the cache stage in processes of their own, in a session of their own; none outlives the test."""
    started: list[subprocess.Popen[str]] = []

    def start(job: Job, cluster: str) -> subprocess.Popen[str]:
        environment = {**os.environ, "FAKE_DETECTOR_LOG": str(job.log), "PYTHONPATH": str(ROOT)}
        program = SUPPORT / "drive_cache.py"
        command = [sys.executable, str(program), str(job.workspace.root), str(job.photos), cluster]
        driver = subprocess.Popen(
            command,
            env=environment,
            text=True,
            stderr=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
            # a suite that runs in the background of a shell inherits that Ctrl-C is to be ignored
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        started.append(driver)
        return driver

    yield start
    for driver in started:
        if driver.poll() is None:
            os.killpg(driver.pid, signal.SIGKILL)
            driver.wait()
        for pipe in (driver.stdout, driver.stderr):
            assert pipe is not None
            pipe.close()


def wait_for_images(job: Job, num: int) -> None:
    """Wait until the detector has seen `num` images."""
    wait_until(lambda: len(job.forwarded) >= num, "the driver does not get on")


def workers_of(process: subprocess.Popen[str]) -> list[psutil.Process]:
    """The processes that compute blocks for a driver."""
    children = psutil.Process(process.pid).children(recursive=True)
    return [child for child in children if "spawn_main" in " ".join(child.cmdline())]
