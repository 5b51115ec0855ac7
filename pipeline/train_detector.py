"""The stage that trains a detector: a data set's index in; checkpoints, TensorBoard events, weights out."""

import json
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

import detectors
from detectors.adapter import NetworkDetector
from detectors.anchor_network import AnchorNetwork
from detectors.augmentation import LabelledImage, Sample, augment
from detectors.training import DetectorTrainConfig, StepReport, Trainer, batch_rows, sample_generator
from detectors.weights import load_state, read_metadata, save_state
from pipeline.errors import UserError
from pipeline.fingerprint import differences
from pipeline.images import read_image
from pipeline.index import ImageRow, Index
from pipeline.workspace import write_atomically

CHECKPOINT = "checkpoint.safetensors"
WEIGHTS = "weights.safetensors"
_BATCHES_AHEAD = 3
_EVENT_EVERY = 10


def train_detector(
    index: Index,
    folder: Path,
    detector: str,
    config: DetectorTrainConfig,
    device: str = "cpu",
    progress: Callable[[StepReport], None] | None = None,
    image_cache_bytes: int = 2 << 30,
    num_threads: int = 1,
) -> Path:
    """Train a detector from random weights on the readable images of `index`; gives its weights' file.

    `folder` receives a checkpoint every `config.checkpoint_every` steps, with it the averaged weights as
    they are then (`weights.safetensors`, which `NAME@WEIGHTS` takes), and TensorBoard events in `events/`.
    A folder with a checkpoint is continued, on a CPU (with as many torch threads) bit for bit as if it had
    never stopped; a finished one is left as it is. `iterations` alone may change in between, before the
    decay of the learning rate has begun. `num_threads` threads read and augment; decoded images are kept in
    memory up to `image_cache_bytes`.

    Raises UserError when the detector cannot be trained here, there are no readable images with faces, or
    the folder belongs to another run.
    """
    rows = [row for row in index.rows(0, len(index)) if row.status == "ok"]
    if not any(row.is_valid.any() for row in rows):
        raise UserError(
            f"the {index.split} split of {index.data_root} has no readable image with a valid face: "
            "there is nothing to train on"
        )
    trainer = Trainer(_new_network(detector), config, device)
    identity: dict[str, object] = {
        "detector": detector,
        "images": index.digest,
        "labels": index.labels_digest,
    }
    _resume(trainer, folder / CHECKPOINT, identity)
    if trainer.steps_done < config.iterations:
        photographs = _Photographs(index, rows, image_cache_bytes)
        _run(trainer, photographs, folder, identity, progress, num_threads)
    return folder / WEIGHTS


def _run(
    trainer: Trainer,
    photographs: "_Photographs",
    folder: Path,
    identity: dict[str, object],
    progress: Callable[[StepReport], None] | None,
    num_threads: int,
) -> None:
    # imported here: TensorBoard takes a second that no other stage should pay
    from torch.utils.tensorboard import SummaryWriter

    config = trainer.config
    try:
        (folder / "events").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot write to {folder}: {error.strerror}; choose another folder") from error
    with (
        closing(SummaryWriter(str(folder / "events"), purge_step=trainer.steps_done)) as events,
        ThreadPoolExecutor(num_threads, thread_name_prefix="augment") as pool,
    ):
        for samples in _batches(photographs, config, trainer.steps_done, pool):
            try:
                report = trainer.step(samples)
            except ValueError as error:
                raise UserError(str(error)) from error
            if report.step % _EVENT_EVERY == 0 or report.step == config.iterations:
                events.add_scalar("loss/total", report.loss, report.step)
                events.add_scalar("loss/boxes", report.box_loss, report.step)
                events.add_scalar("loss/classes", report.class_loss, report.step)
                events.add_scalar("learning_rate", report.learning_rate, report.step)
                events.add_scalar("gradient_norm", report.gradient_norm, report.step)
            if report.step % config.checkpoint_every == 0 or report.step == config.iterations:
                _write_checkpoint(trainer, folder, identity)
            if progress is not None:
                progress(report)


def _batches(
    photographs: "_Photographs", config: DetectorTrainConfig, first_step: int, pool: ThreadPoolExecutor
) -> Iterator[list[Sample]]:
    """Give the batches of the remaining steps in order, a few of them made ahead by the pool's threads."""

    def make(step: int, position: int, row: int) -> Sample:
        return augment(
            photographs[row], config.side_px, config.scales, sample_generator(config, step, position)
        )

    ahead: deque[list[Future[Sample]]] = deque()
    for step in range(first_step, config.iterations):
        chosen = batch_rows(config, len(photographs), step)
        ahead.append([pool.submit(make, step, i, int(row)) for i, row in enumerate(chosen)])
        if len(ahead) > _BATCHES_AHEAD:
            yield [future.result() for future in ahead.popleft()]
    while ahead:
        yield [future.result() for future in ahead.popleft()]


class _Photographs:
    """The labelled images, decoded on demand; those read first stay in memory while the budget lasts."""

    def __init__(self, index: Index, rows: list[ImageRow], cache_bytes: int) -> None:
        self._index = index
        self._rows = rows
        self._kept: dict[int, UInt8[np.ndarray, "_ _ 3"]] = {}
        self._bytes_left = cache_bytes
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, number: int) -> LabelledImage:
        row = self._rows[number]
        image = self._kept.get(number)
        if image is None:
            image = read_image(self._index.image_path(row.row))
            with self._lock:
                if number not in self._kept and image.nbytes <= self._bytes_left:
                    self._kept[number] = image
                    self._bytes_left -= image.nbytes
        return LabelledImage(image, row.faces, row.is_valid)


def _new_network(detector: str) -> AnchorNetwork:
    try:
        made = detectors.create(detector, weights=None)
    except ValueError as error:
        raise UserError(str(error)) from error
    if not isinstance(made, NetworkDetector):
        raise UserError(f"the detector {detector} cannot be trained here: it is no network of this package")
    return made.network


def _write_checkpoint(trainer: Trainer, folder: Path, identity: dict[str, object]) -> None:
    """Write the averaged weights, then the checkpoint: each appears whole or not at all."""
    about = {"steps_done": trainer.steps_done, "config": trainer.config.model_dump(), **identity}
    words = {"detector": str(identity["detector"]), "training": json.dumps(about, sort_keys=True)}
    try:
        write_atomically(folder / WEIGHTS, save_state(trainer.average, words))
        write_atomically(folder / CHECKPOINT, save_state(trainer.state(), words))
    except OSError as error:
        raise UserError(f"cannot write a checkpoint to {folder}: {error.strerror}") from error


def _resume(trainer: Trainer, checkpoint: Path, identity: dict[str, object]) -> None:
    if not checkpoint.exists():
        return
    config = trainer.config
    try:
        about = json.loads(read_metadata(checkpoint)["training"])
        old = DetectorTrainConfig(**about.pop("config"))
        steps_done = int(about.pop("steps_done"))
        state = load_state(checkpoint)
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{checkpoint} cannot be read as a detector's checkpoint ({error}): delete it to start again"
        ) from error
    changes = differences(about, identity) + differences(
        old.model_dump(exclude={"iterations"}), config.model_dump(exclude={"iterations"})
    )
    if old.iterations != config.iterations and steps_done > min(old.decay_start, config.decay_start):
        changes.append(
            f"iterations: {old.iterations} -> {config.iterations}, after the learning rate's decay has begun"
        )
    if changes:
        raise UserError(
            f"{checkpoint.parent} holds another training run ({'; '.join(changes)}): "
            "choose another folder or delete it"
        )
    try:
        trainer.load_state(state, steps_done)
    except ValueError as error:
        raise UserError(f"{checkpoint}: {error}") from error
