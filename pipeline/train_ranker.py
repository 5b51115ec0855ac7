"""The stage that trains a ranker from cached candidates (paper 3.2 - 3.4, 4.2).

`rankers/<fingerprint>/` holds

- `parts.json`: what the fingerprint is made of
- `config.toml`: the [train] section, to be used again with --config
- `checkpoints/`: the last two states; an interrupted training goes on from there, on a CPU bit for bit
- `metrics.csv`, `events.out.*`: step, loss and learning rate, the latter for TensorBoard
- `validation.csv`, `best.safetensors`: AP on held-out images and the best ranker, if any are held out
- `failed-step-<n>.npz`: the batch whose loss was not finite, if that stopped the training
- `ranker.safetensors`: the trained ranker, written last; where it is, the training is done
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from pipeline.blocks.complete import open_complete
from pipeline.config.sections import TrainConfig
from pipeline.dataset.index import Index
from pipeline.errors import UsageError, UserError
from pipeline.ranker_checkpoints import last_step
from pipeline.workspace.fingerprint import differences, file_sha256, fingerprint
from pipeline.workspace.layout import CandidateKey, Workspace, write_atomically
from pipeline.workspace.place import Place, listed

if TYPE_CHECKING:
    from crface.replicas import Replicas

CODE_VERSION = 3
"""Raised whenever the code changes in a way that changes a trained ranker."""
_NEWER = ("patience", "validation_detectors")  # options that rankers were trained before
_NOT_DECIDING = {"checkpoint_every", "compile", "initial_weights"}
"""When a state is kept, how the same arithmetic is done, and a path whose bytes decide instead."""


class TrainingDivergedError(UserError):
    """The loss is no longer finite: another learning rate, or a look at the batch, may mend that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainPlan:
    """A ranker to be trained, or one that is there already."""

    workspace: Workspace
    index: Index
    keys: tuple[CandidateKey, ...]
    config: TrainConfig
    parts: Mapping[str, Any]
    """Everything that decides the ranker, as JSON values."""
    state: Literal["done", "resume", "new"]
    steps_done: int
    reasons: tuple[str, ...]
    """Why there is something to do, in words; empty if there is not."""

    @property
    def fingerprint(self) -> str:
        """The ranker's name."""
        return fingerprint(self.parts)

    @property
    def folder(self) -> Place:
        """Where the ranker and its training live."""
        return self.workspace.ranker(self.fingerprint)

    @property
    def ranker_file(self) -> Place:
        """The trained ranker; there when the state is done."""
        return self.folder / "ranker.safetensors"


@dataclass(frozen=True, slots=True)
class TrainProgress:
    """One step that was taken."""

    steps_done: int
    iterations: int
    loss: float
    learning_rate: float


def plan_train(
    workspace: Workspace, index: Index, keys: Sequence[CandidateKey], config: TrainConfig
) -> TrainPlan:
    """Decide which ranker these candidates and this configuration make, and how much of it is there.

    `index` is of the train split, `keys` name the cached candidates of each detector that takes part. Nothing
    is read but the index, the names in `rankers/` and the bytes of the initial weights, so the plan can be made
    before the candidates exist.

    Raises UserError when the initial weights cannot be read, UsageError for patience or detectors to validate
    with but no held-out images, and when those detectors are not among `keys`, or are all of them.
    """
    parts: dict[str, Any] = {
        "code_version": CODE_VERSION,
        "train": _deciding(config),
        "initial weights": _sha256(config.initial_weights),
        # numbered: their order decides which one a step draws, and one may take part with two sets of weights
        "candidates": {
            f"{i} {key.detector}": f"{key.protocol} {key.fingerprint}" for i, key in enumerate(keys, start=1)
        },
        "split": index.split,
        "images": index.digest,
        "labels": index.labels_digest,
    }
    _check_validation(config, {key.detector for key in keys})
    folder = workspace.ranker(fingerprint(parts))
    steps_done = last_step(folder / "checkpoints")
    state: Literal["done", "resume", "new"] = "resume" if steps_done else "new"
    reasons = (
        [f"interrupted after {steps_done} of {config.iterations} steps"]
        if steps_done
        else _news(workspace, parts)
    )
    if (folder / "ranker.safetensors").is_file():
        state, steps_done, reasons = "done", config.iterations, []
    return TrainPlan(
        workspace=workspace,
        index=index,
        keys=tuple(keys),
        config=config,
        parts=parts,
        state=state,
        steps_done=steps_done,
        reasons=tuple(reasons),
    )


def train(
    plan: TrainPlan,
    device: str = "cpu",
    progress: Callable[[TrainProgress], None] | None = None,
    image_cache_bytes: int = 1 << 30,
    num_threads: int = 2,
    replicas: "Replicas | None" = None,
) -> Place:
    """Train the planned ranker, from its last checkpoint if there is one, and give its file; nothing if done.

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
    from crface.replicas import ALONE
    from pipeline.ranker_examples import ExampleSource
    from pipeline.ranker_run import resumed_trainer, take_steps
    from pipeline.ranker_validation import Validation, held_out

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


def _deciding(config: TrainConfig) -> dict[str, Any]:
    """What of the section decides the ranker; an option that is newer than rankers only where it is used."""
    values: dict[str, Any] = config.model_dump(mode="json", exclude=_NOT_DECIDING)
    return {key: value for key, value in values.items() if value or key not in _NEWER}


def _check_validation(config: TrainConfig, detectors: set[str]) -> None:
    """Raise UsageError for what asks for held-out images where there are none, or for detectors that are not there."""
    left_out = set(config.validation_detectors)
    if config.patience and not config.validation_share:
        raise UsageError(
            f"train.patience = {config.patience} ends a training by the AP on held-out images, of which there are "
            "none: set train.validation_share, 0.1 say"
        )
    if left_out and not config.validation_share:
        raise UsageError(
            "train.validation_detectors are looked at on held-out images, of which there are none: set "
            "train.validation_share, 0.1 say"
        )
    if left_out and not left_out < detectors:
        raise UsageError(
            f"train.validation_detectors names {', '.join(sorted(left_out))}, the candidates are of "
            f"{', '.join(sorted(detectors))}: name some of these, not all"
        )


def _news(workspace: Workspace, parts: Mapping[str, Any]) -> list[str]:
    """Say what is new against the ranker that was begun last."""
    known = sorted(
        listed(workspace.ranker("x").parent, "*/parts.json"), key=lambda path: path.stat().st_mtime
    )
    for path in reversed(known):
        try:
            return differences(json.loads(path.read_text()), parts)
        except (OSError, ValueError):
            continue
    return ["no ranker has been trained yet"]


def _sha256(weights: str) -> str:
    if not weights:
        return ""
    try:
        return file_sha256(Path(weights))
    except OSError as error:
        raise UserError(
            f"cannot read train.initial_weights = {weights!r}: {error.strerror}; give a file, or leave it out"
        ) from error


def _as_toml(config: TrainConfig) -> str:
    # JSON's strings and numbers are TOML's too, and there is nothing else in the section
    values = config.model_dump(mode="json").items()
    return "[train]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in values)
