"""The stage that trains a detector: a data set's index in; checkpoints, TensorBoard events, weights out."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Float32, UInt8
from torch import Tensor

import detectors
from crface.backbones import load_imagenet
from crface.training.batches import batch_images
from crface.training.replicas import ALONE, Replicas
from crface.weights import load_state, read_metadata, save_state
from detectors.adapter import NetworkDetector
from detectors.base import file_sha256
from detectors.networks.anchor_network import AnchorNetwork
from detectors.training.augmentation import LabelledImage, Sample, augment
from detectors.training.config import DetectorTrainConfig
from detectors.training.trainer import StepReport, Trainer, sample_generator
from detectors.weights import load_network
from pipeline.dataset.index import ImageRow, Index
from pipeline.dataset.landmarks import read_landmarks
from pipeline.errors import UserError
from pipeline.train.events import EVENT_EVERY, Events
from pipeline.train.read_ahead import Room, made_ahead
from pipeline.workspace.fingerprint import differences
from pipeline.workspace.place import Place, local_copy
from pipeline.workspace.writing import write_atomically

CHECKPOINT = "checkpoint.safetensors"
WEIGHTS = "weights.safetensors"


@dataclass(frozen=True, slots=True)
class Start:
    """Weights that a detector's training starts from."""

    file: Path
    """A checkpoint of PyTorch or safetensors."""
    layers: Literal["all", "trunk"]
    """All: those of the same detector, every layer of which must fit. Trunk: an ImageNet classifier's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectorTraining:
    """A detector's training: everything that decides its weights, and the folder that receives them."""

    index: Index
    """The images; those that are readable are trained on."""
    folder: Place
    detector: str
    """Its name; one of this package's networks."""
    config: DetectorTrainConfig
    start: Start | None = None
    """Where it starts; None: from random weights."""
    landmarks: Path | None = None
    """Landmarks in the format of RetinaFace's labels, for a configuration that learns them."""

    @property
    def weights_file(self) -> Place:
        """The trained weights, averaged, as of the last checkpoint; `NAME@WEIGHTS` takes them."""
        return self.folder / WEIGHTS


def train_detector(
    training: DetectorTraining,
    device: str = "cpu",
    progress: Callable[[StepReport], None] | None = None,
    image_cache_bytes: int = 2 << 30,
    num_threads: int = 1,
    replicas: Replicas = ALONE,
) -> Place:
    """Train a detector on the readable images of an index; returns the place of its weights.

    The folder receives a checkpoint every `config.checkpoint_every` steps, with it the averaged weights at that step
    (`weights.safetensors`), and, unless it lies below a URL, TensorBoard events in `events/`.
    A folder with a checkpoint is continued, on a CPU (with as many torch threads) bit for bit as if it had
    never stopped; a finished one is left as it is. `iterations` alone may change in between, before the
    decay of the learning rate has begun. `num_threads` threads read and augment; decoded images are kept in
    memory up to `image_cache_bytes`. Each of several processes calls this with its `replicas`; the first of them
    writes.

    Raises UserError when the detector cannot be trained here, there are no readable images with faces, the weights to
    start from or the landmarks do not fit, or the folder belongs to another run.
    """
    index, config = training.index, training.config
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
    if (config.landmark_weight > 0) != (training.landmarks is not None):
        raise UserError(
            "landmarks are learned from a file of labels (--landmarks) with a recipe whose landmark_weight is above 0: "
            "give both or neither"
        )
    network = _new_network(training.detector)
    trainer = Trainer(network, config, device, _starting_tensors(network, training), replicas)
    identity = _identity(training, replicas)
    _resume(trainer, training.folder / CHECKPOINT, identity)
    if trainer.steps_done < config.iterations:
        points = {} if training.landmarks is None else read_landmarks(training.landmarks, rows)
        photographs = _Photographs(index, rows, points, image_cache_bytes)
        _run(trainer, photographs, training.folder, identity, progress, num_threads)
    replicas.wait()
    return training.weights_file


def _identity(training: DetectorTraining, replicas: Replicas) -> dict[str, object]:
    """What a checkpoint must agree with, besides the configuration, for the training to continue from it."""
    start, landmarks = training.start, training.landmarks
    identity: dict[str, object] = {
        "detector": training.detector,
        "images": training.index.digest,
        "labels": training.index.labels_digest,
        "processes": replicas.count,
        "trunk": "random",
        "landmarks": "none" if landmarks is None else file_sha256(landmarks),
    }
    if start is not None:  # checkpoints that started from no weights have no entry for them
        identity["trunk" if start.layers == "trunk" else "weights"] = file_sha256(start.file)
    return identity


def _run(
    trainer: Trainer,
    photographs: "_Photographs",
    folder: Place,
    identity: dict[str, object],
    progress: Callable[[StepReport], None] | None,
    num_threads: int,
) -> None:
    config, is_first = trainer.config, trainer.replicas.is_first
    with ExitStack() as stack:
        events = stack.enter_context(Events(folder / "events", trainer.steps_done)) if is_first else None
        batches = made_ahead(_calls(photographs, trainer), num_threads)
        for samples in stack.enter_context(closing(batches)):
            try:
                report = trainer.step(samples)
            except ValueError as error:
                raise UserError(str(error)) from error
            is_last = report.step == config.iterations
            if events is not None and (report.step % EVENT_EVERY == 0 or is_last):
                events.add(report.step, _event(report))
            if is_first and (report.step % config.checkpoint_every == 0 or is_last):
                _write_checkpoint(trainer, folder, identity)
            if progress is not None:
                progress(report)


def _event(report: StepReport) -> dict[str, float]:
    return {
        "loss/total": report.loss,
        "loss/boxes": report.box_loss,
        "loss/classes": report.class_loss,
        "loss/landmarks": report.landmark_loss,
        "learning_rate": report.learning_rate,
        "gradient_norm": report.gradient_norm,
    }


def _calls(photographs: "_Photographs", trainer: Trainer) -> Iterator[list[Callable[[], Sample]]]:
    """A call for each sample of this process's part of the remaining batches."""
    config, replicas = trainer.config, trainer.replicas

    def make(step: int, position: int, image: int) -> Sample:
        return augment(
            photographs[image], config.side_px, config.scales, sample_generator(config, step, position)
        )

    for step in range(trainer.steps_done, config.iterations):
        images = batch_images(config.seed, step, len(photographs), config.batch_size)
        mine = list(enumerate(images))[replicas.rank :: replicas.count]
        yield [partial(make, step, position, image) for position, image in mine]


class _Photographs:
    """The labelled images, decoded on demand; those read first stay in memory while there is room."""

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
        self._room = Room(cache_bytes)

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, number: int) -> LabelledImage:
        row = self._rows[number]
        image = self._kept.get(number)
        if image is None:
            image = self._index.read_image(row.row)
            self._room.keep(self._kept, number, image, image.nbytes)
        return LabelledImage(image, row.faces, row.is_valid, self._landmarks.get(row.row))


def _new_network(detector: str) -> AnchorNetwork:
    try:
        made = detectors.create(detector, weights=None)
    except ValueError as error:
        raise UserError(str(error)) from error
    if not isinstance(made, NetworkDetector):
        raise UserError(f"the detector {detector} cannot be trained here: it is no network of this package")
    return made.network


def _starting_tensors(network: AnchorNetwork, training: DetectorTraining) -> dict[str, Tensor]:
    """What the network takes over of the weights to start from, by its own keys; loads them into it as well."""
    start = training.start
    if start is None:
        return {}
    trunk = network.trunk_module
    try:
        if start.layers == "all":
            load_network(network, start.file, training.detector)
            prefix = ""
        else:
            load_imagenet(trunk, start.file)
            prefix = next(f"{name}." for name, module in network.named_modules() if module is trunk)
    except ValueError as error:
        raise UserError(str(error)) from error
    return {key: value.clone() for key, value in network.state_dict().items() if key.startswith(prefix)}


def _write_checkpoint(trainer: Trainer, folder: Place, identity: dict[str, object]) -> None:
    """Write the averaged weights, then the checkpoint: each appears whole or not at all."""
    about = {"steps_done": trainer.steps_done, "config": trainer.config.model_dump(), **identity}
    words = {"detector": str(identity["detector"]), "training": json.dumps(about, sort_keys=True)}
    try:
        write_atomically(folder / WEIGHTS, save_state(trainer.average, words))
        write_atomically(folder / CHECKPOINT, save_state(trainer.state(), words))
    except OSError as error:
        raise UserError(f"cannot write a checkpoint to {folder}: {error.strerror or error}") from error


def _resume(trainer: Trainer, checkpoint: Place, identity: dict[str, object]) -> None:
    if not checkpoint.is_file():
        return
    config = trainer.config
    try:
        with local_copy(checkpoint) as file:
            about = json.loads(read_metadata(file)["training"])
            state = load_state(file)
        old = DetectorTrainConfig(**about.pop("config"))
        steps_done = int(about.pop("steps_done"))
    except (OSError, ValueError, KeyError, TypeError) as error:
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
