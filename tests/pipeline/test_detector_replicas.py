"""What users may rely on when several processes train one detector, and when it learns from ImageNet or landmarks."""

import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from fork_server import Ended, run_python
from places import ROOT
from safetensors.torch import load_file, save_file

import detectors
from detectors.adapter import NetworkDetector
from pipeline.dataset.index import update_index
from pipeline.dataset.landmarks import read_landmarks
from pipeline.errors import UserError
from pipeline.workspace.layout import Workspace

RECIPE = """
side_px = 64
batch_size = 4
iterations = 4
warmup_iterations = 2
checkpoint_every = 2
"""
FACE = "20 24 30 32"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("photographs")
    folder = root / "WIDER_train" / "images" / "0--Squares"
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    lines = []
    for i in range(6):
        image = rng.integers(0, 60, (90, 80, 3), dtype=np.uint8)
        image[24:56, 20:50] = 220
        cv2.imwrite(str(folder / f"square_{i}.jpg"), image)
        lines += [f"0--Squares/square_{i}.jpg", "1", f"{FACE} 0 0 0 0 0 0"]
    (root / "wider_face_split").mkdir()
    (root / "wider_face_split" / "wider_face_train_bbx_gt.txt").write_text("\n".join(lines) + "\n")
    (root / "recipe.toml").write_text(RECIPE)
    (root / "landmarks.toml").write_text(RECIPE + "landmark_weight = 1.0\n")
    return root


_PROGRAM = "from workflows.cli.main import run_command; run_command()"


def _train(data: Path, out: Path, num_processes: int, *options: str) -> Ended:
    arguments = ["train-detector", "--data", str(data), "--out", str(out), *options]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    if num_processes == 1:
        return run_python(_PROGRAM, *arguments, cwd=ROOT, environment=environment)
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--no-python"]
    command = [f"--nproc-per-node={num_processes}", sys.executable, "-c", _PROGRAM, *arguments]
    ended = subprocess.run(
        [*launcher, *command], check=False, capture_output=True, text=True, timeout=240, env=environment
    )
    return Ended(ended.returncode, ended.stdout, ended.stderr)


def test_two_processes_train_one_detector_and_the_first_one_writes_it(data: Path, tmp_path: Path) -> None:
    done = _train(data, tmp_path, 2, "--recipe", str(data / "recipe.toml"))
    assert done.status == 0, done.errors
    assert done.output.count("train-detector: use it as") == 1
    folder = tmp_path / "detectors" / "retinaface-mobilenet0.25"
    found = detectors.create(f"retinaface-mobilenet0.25@{folder / 'weights.safetensors'}")
    assert isinstance(found, NetworkDetector)
    alone = _train(data, tmp_path, 1, "--recipe", str(data / "recipe.toml"))
    assert alone.status == 1
    assert "holds another training run (processes: 2 -> 1)" in alone.errors


def test_a_batch_that_cannot_be_shared_is_refused(data: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "odd.toml"
    recipe.write_text(RECIPE.replace("batch_size = 4", "batch_size = 3"))
    done = _train(data, tmp_path / "out", 2, "--recipe", str(recipe))
    assert done.status != 0
    assert "a batch of 3 images cannot be shared by 2 processes" in done.errors


def test_a_training_starts_from_imagenet_weights_of_the_trunk(data: Path, tmp_path: Path) -> None:
    network = detectors.create("hambox-slim", weights=None)
    assert isinstance(network, NetworkDetector)
    trunk = {
        key: value.clone(memory_format=torch.contiguous_format)
        for key, value in network.network.trunk_module.state_dict().items()
    }
    trunk["conv1.weight"].fill_(0.25)
    save_file(trunk, tmp_path / "trunk.safetensors")
    (tmp_path / "still.toml").write_text(RECIPE + "learning_rate = 1e-30\nweight_decay = 0.0\n")
    done = _train(
        data,
        tmp_path,
        1,
        *("--detector", "hambox-slim", "--recipe", str(tmp_path / "still.toml")),
        *("--trunk-weights", str(tmp_path / "trunk.safetensors")),
    )
    assert done.status == 0, done.errors
    state = load_file(tmp_path / "detectors" / "hambox-slim" / "weights.safetensors")
    torch.testing.assert_close(
        state["trunk.conv1.weight"], torch.full_like(state["trunk.conv1.weight"], 0.25)
    )


def test_landmarks_are_learned_from_a_file_of_labels(data: Path, tmp_path: Path) -> None:
    labels = tmp_path / "label.txt"
    points = "26 30 0.0 44 30 0.0 35 40 0.0 28 50 0.0 42 50 0.0"
    labels.write_text(f"# 0--Squares/square_1.jpg\n{FACE} {points} 0.8\n# elsewhere.jpg\n1 2 3 4 {points}\n")
    index = update_index(Workspace(tmp_path / "ws"), data, "train").index
    found = read_landmarks(labels, index.rows(0, len(index)))
    assert {row: array[0].tolist() for row, array in found.items()} == {
        1: [[26, 30], [44, 30], [35, 40], [28, 50], [42, 50]]
    }
    recipe = str(data / "landmarks.toml")
    done = _train(data, tmp_path, 1, "--recipe", recipe, "--landmarks", str(labels))
    assert done.status == 0, done.errors
    refused = _train(data, tmp_path / "other", 1, "--recipe", recipe)
    assert refused.status == 1
    assert "give both or neither" in refused.errors


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("# a.jpg\n1 2 3\n", r"line 2: a face is .* found '1 2 3'"),
        (f"{FACE}\n", "line 1: a face before the first line"),
        (f"# 0--Squares/square_1.jpg\n{FACE}{' -1' * 15}\n", "no face of .* is labelled in this data set"),
    ],
)
def test_a_file_that_holds_no_landmarks_of_this_data_is_a_sentence(
    data: Path, tmp_path: Path, text: str, complaint: str
) -> None:
    labels = tmp_path / "label.txt"
    labels.write_text(text)
    index = update_index(Workspace(tmp_path / "ws"), data, "train").index
    with pytest.raises(UserError, match=complaint):
        read_landmarks(labels, index.rows(0, len(index)))
