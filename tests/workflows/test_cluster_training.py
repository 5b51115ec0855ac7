"""`crface train --cluster`: a whole training by processes beside Dask workers, one of them killed on the way."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import psutil
import pytest
from dask_processes import wait_until
from places import ROOT, SUPPORT

from crface import ranker
from pipeline.images.decode import read_image

ITERATIONS = 12
CONFIG = f"""
[dataset]
seed = 3
train_images = 6
val_images = 1
long_side_px = 96

[train]
num_candidates = 32
image_side_px = 64
output_range = "scaled"
batch_size = 2
iterations = {ITERATIONS}
learning_rate = 1e-4
checkpoint_every = 1
"""

# some half a minute on two idle cores, which may be busy
pytestmark = [pytest.mark.timeout(900), pytest.mark.slow]


class Trainings(NamedTuple):
    """One training by one process; the same by two, of which one was killed, and what the commands said."""

    alone: Path
    shared: Path
    steps_at_the_kill: int
    killed: subprocess.CompletedProcess[str]
    continued: subprocess.CompletedProcess[str]


def command(folder: Path, *commands: list[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(SUPPORT / "drive_commands.py"), json.dumps(commands)],
        cwd=folder,
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "COLUMNS": "80"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(process: subprocess.Popen[str]) -> subprocess.CompletedProcess[str]:
    out, err = process.communicate(timeout=400)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def checkpoints(workspace: Path) -> list[Path]:
    return sorted(workspace.glob("rankers/*/checkpoints/step-*.safetensors"))


def trainers(parent: psutil.Process) -> list[psutil.Process]:
    """The processes beside the workers, in the order of their numbers."""
    found = [
        child for child in parent.children(recursive=True) if "end_with_worker" in " ".join(child.cmdline())
    ]
    return sorted(found, key=lambda child: int(child.environ()["RANK"]))


@pytest.fixture(scope="module")
def trainings(tmp_path_factory: pytest.TempPathFactory) -> Trainings:
    folder = tmp_path_factory.mktemp("cluster")
    (folder / "tiny.toml").write_text(CONFIG)
    alone, shared = folder / "alone", folder / "shared"
    options = ["--data", "data", "--config", "tiny.toml"]
    made = ended(
        command(
            folder,
            ["dataset", "make", "data", "--config", "tiny.toml"],
            ["cache", *options, "--out", "alone", "--cluster", "local:1"],
            ["train", *options, "--out", "alone"],
        )
    )
    assert made.returncode == 0, made.stderr
    shutil.copytree(alone, shared, ignore=shutil.ignore_patterns("rankers"))
    together = ["train", *options, "--out", "shared", "--cluster", "local:2"]
    first = command(folder, together)
    wait_until(lambda: len(checkpoints(shared)) > 0 or first.poll() is not None, "no step is taken")
    assert first.poll() is None, ended(first).stderr
    trainers(psutil.Process(first.pid))[1].send_signal(signal.SIGKILL)
    killed = ended(first)
    steps = int(checkpoints(shared)[-1].stem.removeprefix("step-"))
    return Trainings(alone, shared, steps, killed, ended(command(folder, together)))


def ranker_file(workspace: Path) -> Path:
    (file,) = workspace.glob("rankers/*/ranker.safetensors")
    return file


def test_a_killed_process_ends_the_command_with_a_sentence(trainings: Trainings) -> None:
    assert trainings.killed.returncode == 1
    assert trainings.killed.stderr.strip().endswith(
        "crface: a process beside a worker was ended by SIGKILL; the same command goes on from the last checkpoint"
    )
    assert 0 < trainings.steps_at_the_kill < ITERATIONS


def test_the_next_command_goes_on_from_the_checkpoint_and_says_where_the_ranker_is(
    trainings: Trainings,
) -> None:
    assert trainings.continued.returncode == 0, trainings.continued.stderr
    assert f"train: goes on after step {trainings.steps_at_the_kill}" in trainings.continued.stdout
    assert str(ranker_file(trainings.shared)) in trainings.continued.stdout
    metrics = (ranker_file(trainings.shared).parent / "metrics.csv").read_text().split()
    assert [line.split(",")[0] for line in metrics[1:]] == [str(step + 1) for step in range(ITERATIONS)]


def test_the_ranker_of_two_processes_says_what_that_of_one_says(trainings: Trainings) -> None:
    one, two = (ranker_file(workspace) for workspace in (trainings.alone, trainings.shared))
    assert one.parent.name == two.parent.name
    image = read_image(next((trainings.alone.parent / "data").rglob("*.jpg")))
    random = np.random.default_rng(0)
    corners = random.uniform(0, 60, (30, 2))
    confidences = np.sort(random.uniform(0, 1, (30, 1)), axis=0)[::-1]
    candidates = np.concatenate([corners, corners + 12, confidences], axis=1).astype(np.float32)
    refined = ranker.load(one).refine(image, candidates)
    np.testing.assert_allclose(ranker.load(two).refine(image, candidates), refined, atol=1e-5)
    assert not np.array_equal(refined, candidates[:, 4])
