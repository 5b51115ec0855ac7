"""The `crface` command in a process of its own."""

import os
from pathlib import Path

from fork_server import Ended, run_python
from places import SUPPORT

_PROGRAM = "from workflows.cli.main import run_command; run_command()"
_ON_THREAD = f"""
import sys
sys.path.append({str(SUPPORT)!r})
from thread_cluster import compute_on_thread
compute_on_thread()
"""


def crface(*arguments: str | Path, cwd: Path, on_thread: bool = False) -> Ended:
    """How the command ended, run in a folder on one thread and a terminal of 80 columns.

    With `on_thread`, its worker is a thread and not a process, which would import all that a command imports once more.
    """
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "80"}
    program = _ON_THREAD * on_thread + _PROGRAM
    return run_python(program, *map(str, arguments), cwd=cwd, environment=environment)
