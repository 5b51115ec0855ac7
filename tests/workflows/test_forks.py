"""No process is forked: one that has threads (OpenCV's, torch's, Arrow's) may hang in the copy for ever."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from places import ROOT, SUPPORT

# Python imports it at the start of every process, workers and pools included, if it is on the way
TRAP = """
import os
import sys


def note(event, arguments):
    if event in ("os.fork", "os.forkpty"):
        with open(os.environ["FORKS"], "a") as log:
            log.write(" ".join(sys.argv) + "\\n")


sys.addaudithook(note)
with open(os.environ["STARTED"], "a") as log:
    log.write(f"{os.getpid()}\\n")
"""
CONFIG = """
[dataset]
train_images = 26
val_images = 4
long_side_px = 96

[cache]
block_images = 4

[train]
num_candidates = 50
image_side_px = 64
batch_size = 2
iterations = 2
"""


@pytest.mark.timeout(900)  # of a busy machine
def test_no_stage_forks_a_process(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(TRAP)
    (tmp_path / "small.toml").write_text(CONFIG)
    forks, started = tmp_path / "forks", tmp_path / "started"
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(map(str, (tmp_path, ROOT, SUPPORT))),
        "FORKS": str(forks),
        "STARTED": str(started),
        "OMP_NUM_THREADS": "1",
    }

    def python(*arguments: str) -> None:
        ended = subprocess.run(
            [sys.executable, *arguments],
            cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=850, check=False,
        )  # fmt: skip
        assert ended.returncode == 0, ended.stdout + ended.stderr

    python("-c", "import os; os.fork() or os._exit(0)")
    assert forks.exists(), "the trap sees no fork"
    forks.unlink()
    started.unlink()
    common = ["--data", "data", "--config", "small.toml", "--out", "run"]
    commands = [
        ["dataset", "make", "data", "--config", "small.toml"],
        ["cache", *common, "--cluster", "local:1"],
        ["train", *common],
        ["rank", *common, "--cluster", "local:1"],
        ["evaluate", *common],
    ]
    python(str(SUPPORT / "drive_commands.py"), json.dumps(commands))
    assert len(started.read_text().split()) > 2, "nothing but the command itself was started"
    assert not forks.exists(), forks.read_text()
