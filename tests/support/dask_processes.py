"""A Dask scheduler and workers in processes of their own, as people start them by hand, for tests."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Self

from places import ROOT, SUPPORT

LEAVING = ["--preload", "workflows.worker.leaving", "--preload-nanny", "workflows.worker.leaving"]
PATIENCE_S = 150


class DaskProcesses:
    """What was started in this context ends with it."""

    def __init__(self, folder: Path, **environment: str):
        self.file = folder / "scheduler.json"
        self._folder = folder
        self._environment = {
            **os.environ,
            "PYTHONPATH": f"{ROOT}{os.pathsep}{SUPPORT}",
            "OMP_NUM_THREADS": "1",
            **environment,
        }
        self._started: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._started:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    @property
    def port(self) -> int:
        """The scheduler's."""
        return int(json.loads(self.file.read_text())["address"].rpartition(":")[2])

    def _is_written(self) -> bool:
        return self.file.exists() and self.file.read_text().rstrip().endswith("}")

    def start_scheduler(self, *options: str, prefix: tuple[str, ...] = ()) -> str:
        """Start the scheduler and give its address."""
        options = ("--scheduler-file", str(self.file), "--no-dashboard", "--port", "0", *options)
        self._start("scheduler", prefix, "distributed.cli.dask_scheduler", options)
        wait_until(self._is_written, "the scheduler does not start")
        return str(json.loads(self.file.read_text())["address"])

    def start_worker(
        self, name: str, *options: str, address: str | None = None, prefix: tuple[str, ...] = ()
    ) -> subprocess.Popen[bytes]:
        """Start a worker of one thread under a nanny; the process that is given is the nanny's."""
        scheduler = (address,) if address else ("--scheduler-file", str(self.file))
        common = ("--name", name, "--nthreads", "1", "--no-dashboard", "--local-directory", str(self._folder))
        return self._start(name, prefix, "distributed.cli.dask_worker", (*scheduler, *common, *options))

    def said(self, name: str) -> str:
        """What a process wrote."""
        return (self._folder / f"{name}.log").read_text()

    def _start(
        self, name: str, prefix: tuple[str, ...], module: str, options: tuple[str, ...]
    ) -> subprocess.Popen[bytes]:
        with (self._folder / f"{name}.log").open("wb") as log:
            process = subprocess.Popen(
                [*prefix, sys.executable, "-m", module, *options],
                env=self._environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._started.append(process)
        return process


def wait_until(is_so: Callable[[], bool], complaint: str) -> None:
    """Wait until something has become so; far too long a time is a failure with the complaint."""
    deadline = time.monotonic() + PATIENCE_S
    while not is_so():
        assert time.monotonic() < deadline, complaint
        time.sleep(0.05)
