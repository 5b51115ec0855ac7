"""crface train-detector: a detector, with progress, and a line on where its weights are."""

from contextlib import ExitStack
from pathlib import Path

import click
import torch

from crface.training.replicas import joined
from detectors.training.config import DetectorTrainConfig
from detectors.training.trainer import StepReport
from pipeline.config.toml import read_toml
from pipeline.train.detector import DetectorTraining, Start
from pipeline.train.detector import train_detector as run_training
from pipeline.workspace.layout import slug
from pipeline.workspace.lock import command_line
from workflows.job.data import chosen_split, stored_indexes, update_indexes
from workflows.job.job import Job
from workflows.job.progress import show_progress


def train_detector(
    job: Job,
    detector: str,
    recipe: str,
    num_threads: int,
    start: Start | None = None,
    landmarks: Path | None = None,
) -> None:
    """Train `detector` on the job's train split by a recipe; one of several processes where torchrun started them.

    Raises UserError when that cannot be done, UsageError for a recipe that cannot be read.
    """
    config = read_toml(recipe, DetectorTrainConfig)
    folder = job.workspace.root / "detectors" / slug(detector)
    with joined() as replicas, ExitStack() as stack:
        if replicas.is_first:  # holds the workspace, and brings the index up to date, for all
            stack.enter_context(job.workspace.locked(command_line()))
            update_indexes(job)
        replicas.wait()
        index = chosen_split(stored_indexes(job), "train")
        progress = None
        if replicas.is_first:
            progress = stack.enter_context(show_progress(f"train {detector}", config.iterations, "steps"))

        def show(report: StepReport) -> None:
            if progress is not None:
                note = f"loss {report.loss:.3f}, rate {report.learning_rate:.1e}"
                progress.reach(report.step, note=note)

        weights = run_training(
            DetectorTraining(
                index=index,
                folder=folder,
                detector=detector,
                config=config,
                start=start,
                landmarks=landmarks,
            ),
            "cuda" if torch.cuda.is_available() else "cpu",
            progress=show,
            num_threads=num_threads,
            replicas=replicas,
        )
    if replicas.is_first:
        words = f"use it as {detector}@{weights}"
        if not isinstance(weights, Path):
            words = f"{weights}; copy it to this machine to use it as {detector}@FILE"
        click.echo(f"train-detector: {words}")
