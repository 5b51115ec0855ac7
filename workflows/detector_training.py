"""Train a detector as a user does: with progress, and a word on where the weights are."""

import click
import torch

from detectors.training import DetectorTrainConfig, StepReport
from pipeline.config import read_toml
from pipeline.train_detector import train_detector as run_training
from pipeline.workspace import command_line, slug
from workflows.data import chosen_split, update_indexes
from workflows.job import Job
from workflows.progress import show_progress


def train_detector(job: Job, detector: str, recipe: str, num_threads: int) -> None:
    """Train `detector` on the job's train split by a recipe.

    Raises UserError when that cannot be done, UsageError for a recipe that cannot be read.
    """
    config = read_toml(recipe, DetectorTrainConfig)
    folder = job.workspace.root / "detectors" / slug(detector)
    with job.workspace.locked(command_line()):
        index = chosen_split(update_indexes(job), "train")
        with show_progress(f"train {detector}", config.iterations, "steps") as progress:

            def show(report: StepReport) -> None:
                note = f"loss {report.loss:.3f}, rate {report.learning_rate:.1e}"
                progress.reach(report.step, note=note)

            device = "cuda" if torch.cuda.is_available() else "cpu"
            weights = run_training(
                index, folder, detector, config, device, progress=show, num_threads=num_threads
            )
    click.echo(f"train-detector: use it as {detector}@{weights}")
