"""A planned training of a ranker, carried out."""

import json
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from pipeline.blocks.asked import asked_candidates
from pipeline.blocks.complete import open_complete
from pipeline.config.sections import TrainConfig
from pipeline.errors import UserError
from pipeline.train.held_out import folds, held_out
from pipeline.train.plan import TrainPlan
from pipeline.train.progress import TrainProgress
from pipeline.workspace.place import Place
from pipeline.workspace.writing import write_atomically

if TYPE_CHECKING:
    from crface.training.replicas import Replicas


def train(
    plan: TrainPlan,
    device: str = "cpu",
    progress: Callable[[TrainProgress], None] | None = None,
    image_cache_bytes: int = 1 << 30,
    num_threads: int = 2,
    replicas: "Replicas | None" = None,
) -> Place:
    """Train the planned ranker, from its last checkpoint if there is one; returns its file. Does nothing if it is done.

    `num_threads` threads read and augment; decoded images stay in memory up to `image_cache_bytes`. An
    interruption at any moment leaves what the next call goes on from. The caller holds the workspace's lock.
    Each of several processes calls this with its `replicas`, for one ranker; the first of them writes.

    Raises UserError when the processes cannot share a batch, when the split has no labels or faces, when its
    candidates are not all cached, when the initial weights do not fit, and when there is nothing to compile with;
    TrainingDivergedError, which is one, when the loss is no longer finite.
    """
    if plan.state == "done":
        return plan.ranker_file
    # imported here, as only a training needs them: PyTorch takes longer to load than a plan to make
    from crface import ranker
    from crface.training.replicas import ALONE
    from pipeline.train.home import home_of, smallest_side
    from pipeline.train.run import Run

    replicas = replicas or ALONE
    config = plan.config
    if config.batch_size % replicas.count:
        raise UserError(
            f"a batch of {config.batch_size} images cannot be shared by {replicas.count} processes: "
            "change train.batch_size"
        )
    opened = {key: open_complete(plan.workspace, plan.index, key) for key in (*plan.keys, *plan.asked)}
    stores = [opened[key] for key in plan.keys]
    has_candidates = np.all([store.counts() >= 0 for store in stores], axis=0)
    rows = [row for row in plan.index.ok_rows if has_candidates[row]]
    if not any(plan.index.row(row).is_valid.any() for row in rows):
        raise UserError(
            f"the {plan.index.split} split of {plan.index.data_root} has no labelled face in a readable "
            "image: a ranker cannot be trained on it"
        )
    if replicas.is_first:
        write_atomically(plan.folder / "parts.json", json.dumps(plan.parts, indent=2).encode())
        write_atomically(plan.folder / "config.toml", _as_toml(config).encode())
    run = Run(
        plan=plan,
        stores=[asked_candidates(key, opened, plan.asked) for key in plan.keys],
        device=device,
        progress=progress,
        image_cache_bytes=image_cache_bytes,
        num_threads=num_threads,
        replicas=replicas,
    )
    paths = [plan.index.row(row).path for row in rows]
    if config.folds > 1:
        model = run.cross_fitted(rows, folds(rows, paths, config.folds, config.seed))
    else:
        model = run.trained(*held_out(rows, paths, config.validation_share, config.seed))
    if replicas.is_first:
        if model.looks_at_boxes:
            sizes = (config.num_candidates, config.image_side_px)
            model.smallest_side_px = smallest_side(plan.index, rows, stores, *sizes)
        if model.gate is not None and float(model.gate.share):
            # also the detectors that it was only validated with: it was shown to help them
            model.home = home_of(plan.index, rows, stores)
        write_atomically(plan.ranker_file, ranker.serialise(model))
    replicas.wait()
    return plan.ranker_file


def _as_toml(config: TrainConfig) -> str:
    # JSON's strings and numbers are TOML's too, and there is nothing else in the section
    values = config.model_dump(mode="json").items()
    return "[train]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in values)
