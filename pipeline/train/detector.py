"""The stage that trains a detector: a data set's index in; checkpoints, TensorBoard events, weights out."""

import json
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import numpy as np
from jaxtyping import Float32, UInt8
from torch import Tensor

import detectors
from crface.backbones import load_imagenet
from crface.training.replicas import ALONE, Replicas
from crface.weights import load_state, read_metadata, save_state
from detectors.adapter import NetworkDetector
from detectors.base import file_sha256
from detectors.networks.anchor_network import AnchorNetwork
from detectors.training.augmentation import LabelledImage, Sample, augment
from detectors.training.config import DetectorTrainConfig
from detectors.training.trainer import StepReport, Trainer, batch_rows, sample_generator
from pipeline.dataset.index import ImageRow, Index
from pipeline.dataset.landmarks import read_landmarks
from pipeline.errors import UserError
from pipeline.workspace.fingerprint import differences
from pipeline.workspace.writing import write_atomically

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
    trunk_weights: Path | None = None,
    landmarks: Path | None = None,
    replicas: Replicas = ALONE,
) -> Path:
    """Train a detector on the readable images of `index`; gives its weights' file.

    It starts from random weights, or with the trunk of an ImageNet checkpoint (`trunk_weights`). `landmarks` is a
    file in the format of RetinaFace's labels, for a configuration that learns them.

    `folder` receives a checkpoint every `config.checkpoint_every` steps, with it the averaged weights as
    they are then (`weights.safetensors`, which `NAME@WEIGHTS` takes), and TensorBoard events in `events/`.
    A folder with a checkpoint is continued, on a CPU (with as many torch threads) bit for bit as if it had
    never stopped; a finished one is left as it is. `iterations` alone may change in between, before the
    decay of the learning rate has begun. `num_threads` threads read and augment; decoded images are kept in
    memory up to `image_cache_bytes`. Each of several processes calls this with its `replicas`; the first of them
    writes.

    Raises UserError when the detector cannot be trained here, there are no readable images with faces, the trunk's
    weights or the landmarks do not fit, or the folder belongs to another run.
    """
    rows = [row for row in index.rows(0, len(index)) if row.status == "ok"]
    if not any(row.is_valid.any() for row in rows):
        raise UserError(
            f"the {index.split} split of {index.data_root} has no readable image with a valid face: "
            "there is nothing to train on"
        )
    if config.batch_size % replicas.count:
        raise UserError(
            f"a batch of {config.batch_size} images cannot be shared by {replicas.count} processes: change batch_size"
        )
    if (config.landmark_weight > 0) != (landmarks is not None):
        raise UserError(
            "landmarks are learned from a file of labels (--landmarks) with a recipe whose landmark_weight is above 0: "
            "give both or neither"
        )
    network = _new_network(detector)
    trunk = None if trunk_weights is None else _trunk_state(network, trunk_weights)
    trainer = Trainer(network, config, device, trunk, replicas)
    identity: dict[str, object] = {
        "detector": detector,
        "images": index.digest,
        "labels": index.labels_digest,
        "processes": replicas.count,
        "trunk": "random" if trunk_weights is None else file_sha256(trunk_weights),
        "landmarks": "none" if landmarks is None else file_sha256(landmarks),
    }
    _resume(trainer, folder / CHECKPOINT, identity)
    if trainer.steps_done < config.iterations:
        points = {} if landmarks is None else read_landmarks(landmarks, rows)
        photographs = _Photographs(index, rows, points, image_cache_bytes)
        _run(trainer, photographs, folder, identity, progress, num_threads)
    replicas.wait()
    return folder / WEIGHTS


def _run(
    trainer: Trainer,
    photographs: "_Photographs",
    folder: Path,
    identity: dict[str, object],
    progress: Callable[[StepReport], None] | None,
    num_threads: int,
) -> None:
    config, is_first = trainer.config, trainer.replicas.is_first
    with (
        closing(_Events(folder / "events", trainer.steps_done) if is_first else _NoEvents()) as events,
        ThreadPoolExecutor(num_threads, thread_name_prefix="augment") as pool,
    ):
        for samples in _batches(photographs, trainer, pool):
            try:
                report = trainer.step(samples)
            except ValueError as error:
                raise UserError(str(error)) from error
            is_last = report.step == config.iterations
            if report.step % _EVENT_EVERY == 0 or is_last:
                events.add(report)
            if is_first and (report.step % config.checkpoint_every == 0 or is_last):
                _write_checkpoint(trainer, folder, identity)
            if progress is not None:
                progress(report)


class _Events:
    """TensorBoard events in a folder; those after `steps_done` of an earlier run are struck out."""

    def __init__(self, folder: Path, steps_done: int) -> None:
        # imported here: TensorBoard takes a second that no other stage should pay
        from torch.utils.tensorboard import SummaryWriter

        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(
                f"cannot write to {folder.parent}: {error.strerror}; choose another folder"
            ) from error
        self._writer = SummaryWriter(str(folder), purge_step=steps_done)

    def add(self, report: StepReport) -> None:
        values = {
            "loss/total": report.loss,
            "loss/boxes": report.box_loss,
            "loss/classes": report.class_loss,
            "loss/landmarks": report.landmark_loss,
            "learning_rate": report.learning_rate,
            "gradient_norm": report.gradient_norm,
        }
        for name, value in values.items():
            self._writer.add_scalar(name, value, report.step)

    def close(self) -> None:
        self._writer.close()


class _NoEvents:
    """What the other processes of a training write."""

    def add(self, report: StepReport) -> None:
        pass

    def close(self) -> None:
        pass


def _batches(
    photographs: "_Photographs", trainer: Trainer, pool: ThreadPoolExecutor
) -> Iterator[list[Sample]]:
    """Give this process's part of the remaining batches in order, a few made ahead by the pool's threads."""
    config, replicas = trainer.config, trainer.replicas

    def make(step: int, position: int, row: int) -> Sample:
        return augment(
            photographs[row], config.side_px, config.scales, sample_generator(config, step, position)
        )

    ahead: deque[list[Future[Sample]]] = deque()
    for step in range(trainer.steps_done, config.iterations):
        chosen = list(enumerate(batch_rows(config, len(photographs), step)))
        mine = chosen[replicas.rank :: replicas.count]
        ahead.append([pool.submit(make, step, position, int(row)) for position, row in mine])
        if len(ahead) > _BATCHES_AHEAD:
            yield [future.result() for future in ahead.popleft()]
    while ahead:
        yield [future.result() for future in ahead.popleft()]


class _Photographs:
    """The labelled images, decoded on demand; those read first stay in memory while the budget lasts."""

    def __init__(
        self,
        index: Index,
        rows: list[ImageRow],
        landmarks: Mapping[int, Float32[np.ndarray, "_ 5 2"]],
        cache_bytes: int,
    ) -> None:
        self._index = index
        self._landmarks = landmarks
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
            image = self._index.read_image(row.row)
            with self._lock:
                if number not in self._kept and image.nbytes <= self._bytes_left:
                    self._kept[number] = image
                    self._bytes_left -= image.nbytes
        return LabelledImage(image, row.faces, row.is_valid, self._landmarks.get(row.row))


def _new_network(detector: str) -> AnchorNetwork:
    try:
        made = detectors.create(detector, weights=None)
    except ValueError as error:
        raise UserError(str(error)) from error
    if not isinstance(made, NetworkDetector):
        raise UserError(f"the detector {detector} cannot be trained here: it is no network of this package")
    return made.network


def _trunk_state(network: AnchorNetwork, path: Path) -> dict[str, Tensor]:
    try:
        load_imagenet(network.trunk_module, path)
    except ValueError as error:
        raise UserError(str(error)) from error
    return {key: value.clone() for key, value in network.trunk_module.state_dict().items()}


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
