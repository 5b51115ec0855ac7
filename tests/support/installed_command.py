"""The `crface` command in a process of its own."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    status: int
    output: str
    errors: str


def crface(*arguments: str | Path, cwd: Path) -> Ended:
    """How the command ended, run in a folder on one thread and a terminal of 80 columns."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "80"}
    command = [
        sys.executable,
        "-c",
        "from workflows.cli.main import run_command; run_command()",
        *map(str, arguments),
    ]
    ended = subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=240, check=False
    )
    return Ended(ended.returncode, ended.stdout, ended.stderr)
