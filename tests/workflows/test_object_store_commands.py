"""All commands with their workspace on an S3 server, workers in processes of their own; no credentials anywhere."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from places import SUPPORT
from s3_server import BUCKET, KEY_ID, SECRET, environment, s3_server

from pipeline.workspace.place import UrlPath

pytest.importorskip("moto", reason="moto is not installed: pip install 'moto[server]'")
pytest.importorskip("s3fs", reason="s3fs is not installed: pip install 'crface[s3]'")

pytestmark = pytest.mark.slow

OUT = f"s3://{BUCKET}/runs/demo"
TIMEOUT_S = 900
CONFIG = """
[dataset]
train_images = 6
val_images = 4
long_side_px = 320

[cache]
block_images = 4
detectors = ["retinaface-mobilenet0.25"]

[train]
num_candidates = 100
image_side_px = 64
batch_size = 2
iterations = 4
checkpoint_every = 2
"""


@dataclass(frozen=True)
class Runs:
    folder: Path
    """Where the data set and the configuration are."""
    objects: dict[str, bytes]
    """All that a run with its workspace on the server left there, by name below the workspace."""
    printed: str
    """What the commands printed, and the same ones once more."""
    environment: dict[str, str]


def drive(commands: list[list[str]], cwd: Path, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(SUPPORT / "drive_commands.py"), json.dumps(commands)],
        cwd=cwd, env=env, capture_output=True, text=True, timeout=TIMEOUT_S, check=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def server() -> Iterator[dict[str, str]]:
    """The environment of a process that is to use a new, empty server."""
    with s3_server() as variables:
        yield {**os.environ, **variables, "OMP_NUM_THREADS": "1", "COLUMNS": "80"}


@pytest.fixture(scope="module")
def runs(server: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Runs:
    root = tmp_path_factory.mktemp("object store")
    (root / "small.toml").write_text(CONFIG)
    common = ["--data", "data", "--config", "small.toml", "--out", OUT]
    local = ["--cluster", "local:1"]
    stages = [
        ["cache", *common, *local],
        ["train", *common],
        ["rank", *common, *local],
        ["evaluate", *common],
        ["report", *common],
    ]
    make = ["dataset", "make", "data", "--config", "small.toml"]
    ended = drive([make, *stages, *stages], root, server)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return Runs(root, _objects(server), ended.stdout + ended.stderr, server)


def _objects(server: dict[str, str]) -> dict[str, bytes]:
    with pytest.MonkeyPatch.context() as patch:
        for name in server.keys() & environment(0).keys():
            patch.setenv(name, server[name])
        root = UrlPath(OUT)
        return {name: (root / name).read_bytes() for name in root.below()}


def test_all_stages_leave_their_results_on_an_object_store(runs: Runs) -> None:
    names = runs.objects.keys()
    assert {
        "dataset/train.parquet",
        "dataset/val.parquet",
        "results/ap.parquet",
        "report/index.html",
    } <= names
    assert any(name.endswith("ranker.safetensors") for name in names)
    assert ".lock" not in names


def test_a_second_run_on_an_object_store_computes_nothing(runs: Runs) -> None:
    again = runs.printed.rpartition("$ crface cache")[2]
    assert again.count("nothing to do") == 6, again  # cache says so for each of two splits


def test_credentials_are_in_nothing_that_is_stored_or_printed(runs: Runs) -> None:
    everything = {**runs.objects, "printed": runs.printed.encode()}
    for name, data in everything.items():
        assert SECRET.encode() not in data, name
        assert KEY_ID.encode() not in data, name


@pytest.mark.parametrize(
    ("out", "words"),
    [
        ("s3://nosuchbucket/run", "cannot write to the workspace s3://nosuchbucket/run"),
        (f"s3://{KEY_ID}:{SECRET.replace('/', '')}@faces/run", "in the environment"),
        ("memory://run", "would be gone"),
    ],
)
def test_a_store_that_cannot_be_used_is_one_sentence_without_credentials(
    runs: Runs, out: str, words: str
) -> None:
    ended = drive([["cache", "--data", "data", "--out", out]], runs.folder, runs.environment)
    assert ended.returncode != 0
    assert words in " ".join(ended.stderr.split())
    assert "Traceback" not in ended.stderr
    assert SECRET.replace("/", "") not in ended.stdout + ended.stderr
    assert KEY_ID not in ended.stdout + ended.stderr
