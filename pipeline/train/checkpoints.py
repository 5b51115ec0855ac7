"""Checkpoints of the ranker's training: one safetensors file each, whole or not there; the last two stay."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from safetensors import SafetensorError, safe_open

from pipeline.workspace.place import Place, listed, local_copy
from pipeline.workspace.writing import write_atomically

if TYPE_CHECKING:
    from torch import Tensor

_NUM_KEPT = 2
_DAMAGE = (OSError, SafetensorError, ValueError, KeyError, TypeError)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Everything, besides the data, that the steps from `steps_done` on depend on."""

    steps_done: int
    tensors: "Mapping[str, Tensor]"


def write_checkpoint(folder: Place, checkpoint: Checkpoint) -> Place:
    """Write a checkpoint, then remove all but the last two."""
    from safetensors.torch import save  # loads PyTorch, which a plan that asks for `last_step` has no use for

    from crface.weights import tensors_sha256

    path = folder / f"step-{checkpoint.steps_done:08d}.safetensors"
    about = {"steps_done": checkpoint.steps_done, "sha256": tensors_sha256(checkpoint.tensors)}
    write_atomically(path, save(dict(checkpoint.tensors), {"training": json.dumps(about)}))
    for old in _files(folder)[:-_NUM_KEPT]:
        old.unlink()
    return path


def last_checkpoint(folder: Place) -> Checkpoint | None:
    """The newest checkpoint that can be read; None if there is none."""
    for path in reversed(_files(folder)):
        try:
            return _read(path)
        except _DAMAGE:
            continue  # the one before it costs a few steps, not the run
    return None


def damaged_checkpoints(folder: Place) -> list[Place]:
    """The files of all checkpoints that are not as they were written."""
    damaged = []
    for path in _files(folder):
        try:
            _read(path)
        except _DAMAGE:
            damaged.append(path)
    return damaged


def last_step(folder: Place) -> int:
    """Number of steps that the newest checkpoint has done, by its name; 0 if there is none."""
    files = _files(folder)
    return int(files[-1].stem.removeprefix("step-")) if files else 0


def _files(folder: Place) -> list[Place]:
    return listed(folder, "step-*.safetensors")


def _read(path: Place) -> Checkpoint:
    from crface.weights import tensors_sha256

    with local_copy(path) as local, safe_open(local, framework="pt") as file:
        about = dict(json.loads(file.metadata()["training"]))
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    # checkpoints of before this checksum have none
    if about.get("sha256") not in (None, tensors_sha256(tensors)) or not path.stem.endswith(
        f"{about['steps_done']:08d}"
    ):
        raise ValueError("its checksum does not match")
    return Checkpoint(int(about["steps_done"]), tensors)
