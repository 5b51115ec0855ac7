"""Train a ranker compiled, as test_compiled_training.py does, where no import hook rewrites what is compiled.

Arguments: a folder that `ranker_world.World` made, the backend of torch.compile, and changes to `small_config` as
JSON. The training is interrupted after two steps and goes on. Prints how many graphs were compiled.
"""

import functools
import json
import sys
from pathlib import Path

import torch
from ranker_world import small_config

from crface.training.replicas import joined
from pipeline.dataset.index import load_index
from pipeline.train.plan import plan_train
from pipeline.train.progress import TrainProgress
from pipeline.train.work import train
from pipeline.workspace.layout import CandidateKey, Workspace

STEPS_BEFORE = 2


class StoppedError(Exception):
    """As if a user had interrupted the training."""


def stop_after_some_steps(progress: TrainProgress) -> None:
    if progress.steps_done == STEPS_BEFORE:
        raise StoppedError


def main(root: Path, backend: str, changes: dict[str, int | float | str]) -> None:
    torch.set_num_threads(1)
    torch.nn.Module.compile = functools.partialmethod(torch.nn.Module.compile, backend=backend)  # type: ignore[assignment]
    workspace = Workspace(root / "run")
    index = load_index(workspace, "train")
    key = CandidateKey("train", "pretended", "single", f"{len('pretended'):016x}")
    config = small_config(compile=True, checkpoint_every=STEPS_BEFORE, **changes)
    with joined() as replicas:
        try:
            train(
                plan_train(workspace, index, [key], config), progress=stop_after_some_steps, replicas=replicas
            )
        except StoppedError:
            torch._dynamo.reset()  # a process that goes on has compiled nothing yet
        replicas.wait()
        plan = plan_train(workspace, index, [key], config)
        assert plan.steps_done == STEPS_BEFORE
        train(plan, replicas=replicas)
    print(torch._dynamo.utils.counters["stats"]["unique_graphs"])


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], json.loads(sys.argv[3]))
