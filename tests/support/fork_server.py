"""Processes of Python that need not import the libraries: each is a fork of one process that has only done that.

A process of its own otherwise imports for two seconds what most commands need. Of this repository nothing is imported
beforehand, so that a process finds its modules as a fresh one does. One thing is not fresh: all processes of a session
have the same seed of hashes.

`fork_server.py`: reads orders, one a line, and writes the exit status of each.
"""

import atexit
import contextlib
import functools
import importlib
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_LIBRARIES = (
    "cv2", "distributed", "jinja2", "pyarrow.dataset", "pyarrow.parquet", "pydantic", "rich.progress",
    "safetensors.torch", "scipy.ndimage", "scipy.optimize", "torch", "zarr",
)  # fmt: skip


@dataclass(frozen=True)
class Ended:
    """How a process ended."""

    status: int
    output: str
    errors: str


def run_python(
    program: str, *arguments: str, cwd: Path, environment: Mapping[str, str], timeout: float = 240
) -> Ended:
    """How `python -c PROGRAM ARGUMENTS` ended; it is killed, with all others of the server, after the timeout."""
    if sys.platform != "linux":  # elsewhere, libraries do not bear to be forked
        command = [sys.executable, "-c", program, *arguments]
        ended = subprocess.run(
            command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=timeout, check=False
        )
        return Ended(ended.returncode, ended.stdout, ended.stderr)
    with tempfile.TemporaryDirectory() as folder:
        out, errors = Path(folder, "out"), Path(folder, "errors")
        order = {
            "program": program,
            "arguments": arguments,
            "cwd": str(cwd),
            "environment": dict(environment),
            "files": [os.devnull, str(out), str(errors)],
        }
        status = _server().run(order, timeout)
        return Ended(status, out.read_text(), errors.read_text())


class _Server:
    """The process that forks, and the pipes to it."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            start_new_session=True,
        )
        atexit.register(self.end)

    def run(self, order: Mapping[str, Any], timeout: float) -> int:
        """The exit status of one process, negative if a signal ended it."""
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(json.dumps(order).encode() + b"\n")
            process.stdin.flush()
            if not select.select([process.stdout], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(order["arguments"], timeout)
            return int(process.stdout.readline())
        except BaseException:  # also when the test has run out of time: the next one needs another server
            self.end()
            _server.cache_clear()
            raise

    def end(self) -> None:
        """Kill the server and what it has started."""
        with self._process as process, contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        atexit.unregister(self.end)


@functools.cache
def _server() -> _Server:
    return _Server()


def _next_order() -> dict[str, Any]:
    """The order that this process, a fork, is to carry out; the server itself ends in here."""
    for name in _LIBRARIES:
        importlib.import_module(name)
    answers = os.dup(1)
    while line := sys.stdin.buffer.readline():
        if (process := os.fork()) == 0:
            os.close(answers)
            return dict(json.loads(line))
        status = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
        os.write(answers, f"{status}\n".encode())
    sys.exit()


def _become(order: Mapping[str, Any]) -> None:
    """Make this process look like `python -c PROGRAM ARGUMENTS`, started in its folder."""
    for number, file in enumerate(order["files"]):
        opened = os.open(file, os.O_RDWR | os.O_CREAT)
        os.dup2(opened, number)
        os.close(opened)
    os.chdir(order["cwd"])
    os.environ.clear()
    os.environ.update(order["environment"])
    sys.argv[:] = ["-c", *order["arguments"]]
    sys.path[0] = ""
    del globals()["__file__"]  # which processes that are spawned would run


if __name__ == "__main__":
    _order = _next_order()
    _become(_order)
    exec(compile(_order["program"], "<string>", "exec"), {"__name__": "__main__"})
