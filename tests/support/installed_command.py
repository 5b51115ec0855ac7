"""The `crface` command in a process of its own."""

import os
from pathlib import Path

from fork_server import Ended, run_python


def crface(*arguments: str | Path, cwd: Path) -> Ended:
    """How the command ended, run in a folder on one thread and a terminal of 80 columns."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "80"}
    program = "from workflows.cli.main import run_command; run_command()"
    return run_python(program, *map(str, arguments), cwd=cwd, environment=environment)
