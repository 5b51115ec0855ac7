"""`train.compile`: the same training, and the same ranker, by compiled passes; and what it needs, in words."""

import importlib.util
import json
import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import numpy as np
import pytest
from places import ROOT, SUPPORT
from ranker_world import World, candidates, small_config
from safetensors import safe_open

from crface import losses, ranker
from crface.training.trainer import Trainer
from pipeline.errors import UserError
from pipeline.images.decode import read_image
from pipeline.train.plan import TrainPlan, plan_train
from pipeline.train.steps import resumed_trainer
from pipeline.train.work import train

CHANGES: dict[str, int | float | str] = {"batch_size": 4, "iterations": 3}
SCRIPT = SUPPORT / "train_compiled.py"
TORCHRUN = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]


def planned(root: Path, **more: bool) -> TrainPlan:
    world = World(root, num_images=8)
    return plan_train(world.workspace, world.index(), [world.cache()], small_config(**CHANGES, **more))


def compiled(root: Path, backend: str, launcher: list[str]) -> list[int]:
    """Train in fresh processes, without the import hook that checks shapes; gives the graphs that each compiled."""
    ended = subprocess.run(
        [sys.executable, *launcher, str(SCRIPT), str(root), backend, json.dumps(CHANGES)],
        check=False,
        capture_output=True,
        text=True,
        timeout=1700,
        env=os.environ
        | {
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": str(ROOT),
            "TORCHINDUCTOR_CACHE_DIR": str(root / "inductor"),
        },
    )
    assert ended.returncode == 0, ended.stderr
    return [int(line) for line in ended.stdout.split()]


def losses_of(plan: TrainPlan) -> list[float]:
    return [float(line.split(",")[1]) for line in (plan.folder / "metrics.csv").read_text().split()[1:]]


def keys_of(file: Path) -> list[str]:
    with safe_open(file, framework="pt") as tensors:
        return sorted(tensors.keys())


@pytest.mark.timeout(1800)  # nothing is slower than a C++ compiler on a busy machine
@pytest.mark.parametrize(
    ("backend", "launcher"),
    [
        # traced and differentiated as always, but run by PyTorch's own operations in place of compiled ones
        pytest.param("aot_eager", [], id="traced"),
        pytest.param("aot_eager", TORCHRUN, id="traced, by two processes", marks=pytest.mark.slow),
        pytest.param("inductor", [], id="compiled", marks=pytest.mark.slow),
    ],
)
def test_a_compiled_training_that_was_interrupted_makes_the_ranker_of_a_plain_one(
    tmp_path: Path, backend: str, launcher: list[str]
) -> None:
    plain, other = planned(tmp_path / "plain"), planned(tmp_path / "compiled")
    train(plain)
    graphs = compiled(tmp_path / "compiled", backend, launcher)
    assert graphs == [2] * (2 if launcher else 1)  # one network before the interruption and one after it
    other = plan_train(other.workspace, other.index, other.keys, other.config)  # asked for without compile
    assert other.state == "done"
    assert other.fingerprint == plain.fingerprint
    np.testing.assert_allclose(losses_of(other), losses_of(plain), atol=1e-4)
    for name in ("ranker.safetensors", "checkpoints/step-00000003.safetensors"):
        assert keys_of(Path(other.folder / name)) == keys_of(Path(plain.folder / name))
    one, two = (ranker.load(Path(plan.ranker_file)) for plan in (plain, other))
    picture, found = read_image(plain.index.image_path(0)), candidates(0, 9)
    refined = one.refine(picture, found)
    np.testing.assert_allclose(two.refine(picture, found), refined, atol=1e-4)
    assert not np.array_equal(refined, found[:, 4])


def test_compiling_does_not_change_the_name_of_a_ranker(tmp_path: Path) -> None:
    assert planned(tmp_path / "a", compile=True).fingerprint == planned(tmp_path / "b").fingerprint


@pytest.mark.filterwarnings(
    "ignore:.torch.jit.script_method. is deprecated"
)  # by PyTorch, which calls it itself
def test_the_weights_of_a_network_to_be_compiled_keep_their_names_and_what_is_trained_is_not_compiled() -> (
    None
):
    model = ranker.create("small", 8, 32)
    names = list(model.state_dict())
    trainer = Trainer(
        model,
        losses.create("rank", 3, model.scale),
        iterations=2,
        learning_rate=1e-3,
        final_learning_rate=1e-5,
        is_compiled=True,
    )
    assert list(trainer.trained().state_dict()) == names
    assert {key.removeprefix("model.") for key in trainer.state()} == set(names)
    assert trainer.model._compiled_call_impl is not None
    assert trainer.trained()._compiled_call_impl is None


def test_compiling_without_a_compiler_is_refused_in_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = planned(tmp_path, compile=True)
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(
        UserError, match=r"train.compile needs a C\+\+ compiler \(no-such-compiler; .* leave compile"
    ):
        train(plan)
    monkeypatch.delenv("CXX")
    monkeypatch.setenv("PATH", "")
    with pytest.raises(UserError, match=r"train.compile needs a C\+\+ compiler \((g|clang)\+\+;"):
        train(plan)


def test_compiling_without_the_headers_of_python_or_triton_is_refused_in_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiler = tmp_path / "compiler"
    compiler.write_text("")
    compiler.chmod(0o700)
    for name in ("CC", "CXX"):
        monkeypatch.setenv(name, str(compiler))
    monkeypatch.setattr(sysconfig, "get_path", lambda _: str(tmp_path))
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: object())
    config = small_config(compile=True)
    for device in ("cpu", "cuda"):
        with pytest.raises(
            UserError, match=r"train.compile needs Python's headers \(.*Python.h; python3-dev"
        ):
            resumed_trainer(tmp_path, config, device)
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("CC", "no-such-compiler")
    with pytest.raises(UserError, match=r"train.compile needs a C compiler"):
        resumed_trainer(tmp_path, config, "cuda")
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(UserError, match=r"train.compile needs the package triton"):
        resumed_trainer(tmp_path, config, "cuda")
