"""One command, run in a new process beside each worker of a Dask cluster, as torchrun would on each host.

Training cannot run in the workers themselves: each of Dask's GPU workers sees the host's devices in a different order,
which NCCL cannot work with, and a worker that has used a GPU keeps it.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import uuid
from collections import Counter, deque
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from pipeline.errors import UserError

if TYPE_CHECKING:
    from distributed import Client

_LOOK_EVERY_S: Final = 1.0
_LINES_KEPT: Final = 20
_COMMAND: Final = """
import os, sys, threading
def end_with_worker():
    sys.stdin.read()  # returns when the worker is gone, or closes the pipe to stop this
    os._exit(1)
threading.Thread(target=end_with_worker, daemon=True).start()
from workflows.cli.main import run_command
run_command()
"""


def run_beside_workers(client: Client, arguments: Sequence[str]) -> None:
    """Run `crface` with these arguments once beside each worker, in processes connected like torchrun's.

    They run in this process's working folder, which must exist on every host under the same name. They see all GPUs
    that their worker may see, in the host's order, and each uses the one with its number on the host. What the first
    process prints is printed here at the end. All are ended when one fails, when this process is interrupted, or when
    a worker goes away.

    Raises UserError with the last lines of the process that was killed, else of the first that failed: others
    fail as a consequence, sometimes earlier.
    """
    from distributed import Event, as_completed

    workers = sorted(client.nthreads())
    hosts = [urlsplit(worker).hostname or "" for worker in workers]
    port = client.submit(_free_port, workers=[workers[0]], pure=False).result()
    stop = f"stop-{uuid.uuid4().hex}"
    before: Counter[str] = Counter()
    futures = []
    for rank, (worker, host) in enumerate(zip(workers, hosts, strict=True)):
        environment = {
            "WORLD_SIZE": str(len(workers)),
            "RANK": str(rank),
            "LOCAL_RANK": str(before[host]),
            "MASTER_ADDR": hosts[0],
            "MASTER_PORT": str(port),
        }
        before[host] += 1
        futures.append(
            client.submit(_run, list(arguments), Path.cwd(), environment, stop, workers=[worker], pure=False)
        )
    said: dict[object, str] = {}
    failed: list[tuple[int, str]] = []
    event = Event(stop, client=client)
    try:
        for future in as_completed(futures, loop=client.loop, raise_errors=False):
            if future.status != "finished":
                raise UserError(f"a worker was lost while it trained: {future.exception()}")
            status, said[future] = future.result()
            if status != 0:
                failed.append((status, said[future]))
                event.set()
    finally:
        event.set()
    if failed:
        raise UserError(_complaint(failed))
    print(said[futures[0]], flush=True)


def _complaint(failed: Sequence[tuple[int, str]]) -> str:
    """Why a run ended, from the statuses and last lines of the failed processes, in the order they failed."""
    status, lines = next((end for end in failed if end[0] < 0), failed[0])
    if status < 0:
        name = signal.Signals(-status).name
        return f"a process beside a worker was ended by {name}; the same command goes on from the last checkpoint"
    return f"a process beside a worker ended with status {status}: {lines}"


def _run(arguments: Sequence[str], folder: Path, environment: dict[str, str], stop: str) -> tuple[int, str]:
    """Run one of the processes in a worker's thread; its exit status and its last lines."""
    from distributed import Event, get_client

    inherited = dict(os.environ)
    if devices := inherited.get("CUDA_VISIBLE_DEVICES"):
        inherited["CUDA_VISIBLE_DEVICES"] = ",".join(sorted(devices.split(",")))
    event = Event(stop, client=get_client())
    lines: deque[str] = deque(maxlen=_LINES_KEPT)
    with subprocess.Popen(  # noqa: S603 - the same interpreter and package, no shell
        [sys.executable, "-c", _COMMAND, *arguments],
        cwd=folder,
        env=inherited | environment | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        output = process.stdout
        reader = threading.Thread(target=lambda: lines.extend(output), daemon=True)
        reader.start()
        while process.poll() is None:
            if event.wait(timeout=_LOOK_EVERY_S):
                process.stdin.close()
                break
        process.wait()
        reader.join()
    return process.returncode, "".join(lines).strip()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("", 0))
        return int(probe.getsockname()[1])
