"""One of several processes that train rankers together, as test_ranker_replicas.py starts them.

Arguments: a folder that `ranker_world.World` made, and the trainings as a JSON list of changes to `small_config`.
"""

import json
import sys
from pathlib import Path

import torch
from ranker_world import small_config

from crface.training.replicas import joined
from pipeline.dataset.index import load_index
from pipeline.errors import UserError
from pipeline.train.plan import plan_train
from pipeline.train.work import train
from pipeline.workspace.layout import CandidateKey, Workspace


def main(root: Path, trainings: list[dict[str, int | float | str]]) -> None:
    torch.set_num_threads(1)
    workspace = Workspace(root / "run")
    index = load_index(workspace, "train")
    key = CandidateKey("train", "pretended", "single", f"{len('pretended'):016x}")
    with joined() as replicas:
        for changes in trainings:
            plan = plan_train(workspace, index, [key], small_config(**changes))
            try:
                train(plan, replicas=replicas)
            except UserError as error:
                if replicas.is_first:
                    print(error)


if __name__ == "__main__":
    main(Path(sys.argv[1]), json.loads(sys.argv[2]))
