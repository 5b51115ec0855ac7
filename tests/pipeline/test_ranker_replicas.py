"""What users may rely on when several processes train one ranker: it is the one that a single process makes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from places import ROOT, SUPPORT
from ranker_world import World, candidates, small_config

from crface import ranker
from pipeline.errors import UserError
from pipeline.images.decode import read_image
from pipeline.train.plan import TrainPlan, plan_train
from pipeline.train.work import train
from workflows.cluster.open import open_cluster
from workflows.worker.beside import run_beside_workers

Changes = dict[str, int | float | str]

TRAININGS: list[Changes] = [
    {
        "batch_size": 4,
        "iterations": 4,
        "validation_share": 0.3,
        "validate_every": 2,
        "output_range": "scaled",
    },
    {"batch_size": 4, "iterations": 4, "loss": "faces-first", "average_decay": 0.5, "max_gradient_norm": 0.1},
    {"batch_size": 4, "iterations": 3, "ranker": "per-box", "loss": "rank-batch"},
]
UNSHARED: Changes = {"batch_size": 3}


def planned(world: World, changes: Changes) -> TrainPlan:
    return plan_train(world.workspace, world.index(), [world.key()], small_config(**changes))


def torchrun(world: World, trainings: list[Changes]) -> subprocess.CompletedProcess[str]:
    script = SUPPORT / "train_replicas.py"
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    return subprocess.run(
        [*launcher, str(script), str(world.workspace.root.parent), json.dumps(trainings)],
        check=False,
        capture_output=True,
        text=True,
        timeout=280,
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
    )


@pytest.fixture(scope="module")
def shared_out(tmp_path_factory: pytest.TempPathFactory) -> tuple[World, str]:
    """The trainings by two processes, and what these said."""
    world = World(tmp_path_factory.mktemp("two"), num_images=8)
    world.cache()
    done = torchrun(world, [*TRAININGS, UNSHARED])
    assert done.returncode == 0, done.stderr
    return world, done.stdout


def losses_of(plan: TrainPlan) -> list[float]:
    return [float(line.split(",")[1]) for line in (plan.folder / "metrics.csv").read_text().split()[1:]]


@pytest.mark.parametrize("number", range(len(TRAININGS)))
def test_two_processes_make_the_ranker_of_one_process(
    shared_out: tuple[World, str], tmp_path: Path, number: int
) -> None:
    alone = World(tmp_path, num_images=8)
    alone.cache()
    expected = planned(alone, TRAININGS[number])
    train(expected)
    found = planned(shared_out[0], TRAININGS[number])
    assert found.state == "done"
    # Adam gives a weight whose gradient is nothing but a rounding a full step in either direction (the residual's
    # bias, to which no order is sensitive, is one): what the rankers say has to be alike, not each weight
    tolerance = 1e-5 if number == 0 else 2e-4
    np.testing.assert_allclose(losses_of(found), losses_of(expected), atol=tolerance)
    one, two = (ranker.load(plan.ranker_file) for plan in (expected, found))
    for row in range(3):
        picture = read_image(alone.index().image_path(row))
        refined = [model.refine(picture, candidates(row, 9)) for model in (one, two)]
        np.testing.assert_allclose(*refined, atol=tolerance)
        assert not np.array_equal(refined[0], candidates(row, 9)[:, 4])


def test_the_first_of_two_processes_writes_every_step_once(shared_out: tuple[World, str]) -> None:
    folder = planned(shared_out[0], TRAININGS[0]).folder
    steps = [line.split(",")[0] for line in (folder / "metrics.csv").read_text().split()]
    assert steps == ["step", "1", "2", "3", "4"]
    assert len(list(folder.glob("events.out*"))) == 1


def test_a_batch_that_cannot_be_shared_is_refused_in_words(shared_out: tuple[World, str]) -> None:
    assert "a batch of 3 images cannot be shared by 2 processes: change train.batch_size" in shared_out[1]


def test_fresh_processes_beside_the_workers_of_a_cluster_know_of_each_other(
    tmp_path: Path,
) -> None:
    with open_cluster("local:2") as client:
        with pytest.raises(UserError, match=r"(?s)ended with status 2: .*No such option"):
            run_beside_workers(client, ["train", "--no-such-option"])
        # without an index every process finds the workspace empty, after the first has held it for all
        with pytest.raises(UserError, match=r"(?s)ended with status 1: .*the workspace .* is empty"):
            run_beside_workers(client, ["train", "--out", str(tmp_path / "run")])
