"""A planned training of a ranker, carried out."""

import json
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from pipeline.blocks.complete import open_complete
from pipeline.config.sections import TrainConfig
from pipeline.errors import UserError
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
    from pipeline.train.examples import ExampleSource
    from pipeline.train.steps import resumed_trainer, take_steps
    from pipeline.train.validation import Validation, held_out

    replicas = replicas or ALONE
    if plan.config.batch_size % replicas.count:
        raise UserError(
            f"a batch of {plan.config.batch_size} images cannot be shared by {replicas.count} processes: "
            "change train.batch_size"
        )
    stores = [open_complete(plan.workspace, plan.index, key) for key in plan.keys]
    has_candidates = np.all([store.counts() >= 0 for store in stores], axis=0)
    rows = [row for row in plan.index.ok_rows if has_candidates[row]]
    if not any(plan.index.row(row).is_valid.any() for row in rows):
        raise UserError(
            f"the {plan.index.split} split of {plan.index.data_root} has no labelled face in a readable "
            "image: a ranker cannot be trained on it"
        )
    if replicas.is_first:
        write_atomically(plan.folder / "parts.json", json.dumps(plan.parts, indent=2).encode())
        write_atomically(plan.folder / "config.toml", _as_toml(plan.config).encode())
    trainer, steps_done = resumed_trainer(plan.folder, plan.config, device, replicas)
    replicas.wait()  # a checkpoint that the first one writes is none that the others should begin from
    rows, held_out_rows = held_out(rows, plan.config.validation_share, plan.config.seed)
    left_out = [key.detector in plan.config.validation_detectors for key in plan.keys]
    trained_on = [store for store, is_out in zip(stores, left_out, strict=True) if not is_out]
    examples = ExampleSource(plan.index, rows, trained_on, plan.config, image_cache_bytes)
    validation = None
    if held_out_rows and replicas.is_first:
        looked_at = [store for store, is_out in zip(stores, left_out, strict=True) if is_out] or stores
        validation = Validation(plan.folder, plan.index, held_out_rows, looked_at, steps_done)
    take_steps(trainer, examples, plan.folder, steps_done, progress, num_threads, validation)
    if replicas.is_first:
        trained = trainer.trained() if validation is None else validation.best()
        write_atomically(plan.ranker_file, ranker.serialise(trained))
    replicas.wait()
    return plan.ranker_file


def _as_toml(config: TrainConfig) -> str:
    # JSON's strings and numbers are TOML's too, and there is nothing else in the section
    values = config.model_dump(mode="json").items()
    return "[train]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in values)
