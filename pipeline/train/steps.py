"""The steps of a ranker's training, with checkpoints and a record of them."""

import csv
import dataclasses
import importlib.util
import io
import os
import shutil
import sys
import sysconfig
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from pathlib import Path

import numpy as np
import torch

from crface import losses, ranker
from crface.ranker.start import start_from
from crface.training.examples import Example
from crface.training.replicas import ALONE, Replicas
from crface.training.trainer import Trainer
from pipeline.config.sections import TrainConfig
from pipeline.errors import UserError
from pipeline.train.checkpoints import Checkpoint, last_checkpoint, last_step, write_checkpoint
from pipeline.train.events import EVENT_EVERY, Events
from pipeline.train.examples import ExampleSource
from pipeline.train.progress import TrainingDivergedError, TrainProgress
from pipeline.train.validation import Validation
from pipeline.workspace.place import Place
from pipeline.workspace.writing import write_atomically


def resumed_trainer(
    folder: Place,
    config: TrainConfig,
    device: str,
    replicas: Replicas = ALONE,
    opinions: Sequence[str] = (),
) -> tuple[Trainer, int]:
    """The trainer as of the newest checkpoint, and the steps it has done; a new trainer and 0 without checkpoints.

    `opinions` are the names of the detectors that a committee asks.

    Raises UserError when the checkpoint is of another network, the initial weights do not fit, or there is nothing
    to compile with.
    """
    if config.compile and (missing := _missing_to_compile(device)):
        raise UserError(f"train.compile needs {missing}, which is not here: install it, or leave compile out")
    with torch.random.fork_rng(devices=[]):  # the caller's random state is not ours to change
        torch.manual_seed(config.seed)
        output_range = config.output_range if ranker.has_output_range(config.ranker) else None
        model = ranker.create(
            config.ranker, config.num_candidates, config.image_side_px, output_range, opinions
        )
    if config.initial_weights:
        try:
            start_from(model, config.initial_weights)
        except ValueError as error:
            raise UserError(f"train.initial_weights: {error}") from error
    trainer = Trainer(
        model.to(device),
        losses.create(config.loss, config.num_pairs, model.scale),
        iterations=config.iterations,
        learning_rate=config.learning_rate,
        final_learning_rate=config.final_learning_rate,
        average_decay=config.average_decay,
        max_gradient_norm=config.max_gradient_norm,
        precision=config.precision,
        is_compiled=config.compile,
        replicas=replicas,
    )
    checkpoint = last_checkpoint(folder / "checkpoints")
    if checkpoint is None:
        return trainer, 0
    try:
        trainer.restore(checkpoint.tensors)
    except ValueError as error:
        raise UserError(f"cannot continue the training in {folder}: {error}; delete that folder") from error
    return trainer, checkpoint.steps_done


def take_steps(
    trainer: Trainer,
    examples: ExampleSource,
    folder: Place,
    steps_done: int,
    progress: Callable[[TrainProgress], None] | None,
    num_threads: int,
    validation: Validation | None = None,
    last: int | None = None,
) -> None:
    """Take all remaining steps, with regular checkpoints and one at the end; report each to `progress`.

    `last` is the step to end with, all of the configuration's unless it is given.

    With a `validation`, it looks at the state every so many steps and at the end, and may end the training. Of
    several processes, each of which calls this, the first one writes, and it alone has the validation.

    Raises TrainingDivergedError when the loss is not finite, which names the images; their batch is kept in `folder`.
    """
    config, replicas = examples.config, trainer.replicas
    last = config.iterations if last is None else last
    if steps_done >= last:
        return
    with ExitStack() as stack:
        batches = stack.enter_context(closing(examples.batches(steps_done, num_threads, replicas)))
        record = stack.enter_context(Record(folder, steps_done)) if replicas.is_first else None
        is_over = validation is not None and validation.is_over(config.patience)
        if replicas.as_first_says(is_over):
            return  # it was stopped before the ranker was written
        for step, batch in enumerate(batches, start=steps_done):
            try:
                loss, rate = trainer.step(step, batch)
            except FloatingPointError as error:
                path = folder / f"failed-step-{step}.npz"
                if replicas.is_first:
                    _keep_batch(path, batch if replicas.count == 1 else examples.batch(step))
                raise TrainingDivergedError(
                    f"training stopped: {error}; the last checkpoint is of step "
                    f"{last_step(folder / 'checkpoints')}; lower train.learning_rate (it is "
                    f"{config.learning_rate}), or look at the batch, which is kept in {path}: "
                    f"{', '.join(examples.paths(step))}"
                ) from error
            done, ap = step + 1, None
            is_last = done == last
            # before the checkpoint: what is resumed after it will not look at this state again
            if done % config.validate_every == 0 or is_last:
                if validation is not None:
                    ap = validation.look(done, trainer.trained())
                    is_over = validation.is_over(config.patience)
                if config.patience:
                    is_last = replicas.as_first_says(is_over) or is_last
            if record is not None:
                record.add(done, loss, rate, is_last)
                if ap is not None:
                    record.add_validation(done, ap)
                if done % config.checkpoint_every == 0 or is_last:
                    record.write()
                    write_checkpoint(folder / "checkpoints", Checkpoint(done, trainer.state()))
            if progress is not None:
                progress(TrainProgress(done, config.iterations, loss, rate))
            if is_last:
                return


def _missing_to_compile(device: str) -> str:
    """What torch.compile needs on this device and does not find; empty if nothing is missing."""
    if device == "cuda":
        if importlib.util.find_spec("triton") is None:
            return "the package triton"
        if not any(map(shutil.which, (os.environ.get("CC", "gcc"), "clang"))):
            return "a C compiler (gcc, clang, or the one that CC names)"
    else:
        compiler = os.environ.get("CXX", "clang++" if sys.platform == "darwin" else "g++")
        if shutil.which(compiler) is None:
            return f"a C++ compiler ({compiler}; another is named by CXX)"
    header = Path(sysconfig.get_path("include")) / "Python.h"
    return "" if header.is_file() else f"Python's headers ({header}; python3-dev on Debian and Ubuntu)"


def _keep_batch(path: Place, batch: Sequence[Example]) -> None:
    """Write a batch as arrays of the names of its fields."""
    fields = {
        field.name: np.stack([np.asarray(getattr(example, field.name)) for example in batch])
        for field in dataclasses.fields(Example)
    }
    content = io.BytesIO()
    np.savez_compressed(content, allow_pickle=False, **fields)
    write_atomically(path, content.getvalue())


class Record:
    """metrics.csv and TensorBoard events; steps after the last checkpoint are replaced."""

    def __init__(self, folder: Place, steps_done: int) -> None:
        self._path = folder / "metrics.csv"
        self._rows = [row for row in self._read() if int(row[0]) <= steps_done]
        self._events = Events(folder, steps_done)

    def __enter__(self) -> "Record":
        return self

    def __exit__(self, *error: object) -> None:
        self._events.__exit__(*error)

    def add(self, step: int, loss: float, rate: float, is_last: bool) -> None:
        """Record one step."""
        self._rows.append([str(step), repr(loss), repr(rate)])
        if step % EVENT_EVERY == 0 or is_last:
            self._events.add(step, {"train/loss": loss, "train/learning_rate": rate})

    def add_validation(self, step: int, ap: float) -> None:
        """Show TensorBoard the AP on held-out images."""
        self._events.add(step, {"validation/ap": ap})

    def write(self) -> None:
        """Bring everything to the disk; called before a checkpoint, which thus never knows more than this."""
        text = io.StringIO()
        csv.writer(text).writerows([["step", "loss", "learning_rate"], *self._rows])
        write_atomically(self._path, text.getvalue().encode())
        self._events.flush()

    def _read(self) -> list[list[str]]:
        if not self._path.is_file():
            return []
        return list(csv.reader(io.StringIO(self._path.read_text())))[1:]
