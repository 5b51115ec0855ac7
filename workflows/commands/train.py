"""crface train: a ranker, unless it is trained already; alone or as one of the processes that torchrun started."""

from __future__ import annotations

import os
import textwrap
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

import click

from pipeline.blocks.complete import open_complete
from pipeline.results.text import WIDTH, counted
from pipeline.train.choice import Choice, read_choice
from pipeline.train.plan import TrainPlan, num_steps
from pipeline.workspace.lock import command_line
from pipeline.workspace.place import Place
from workflows.commands.plans import JobPlans
from workflows.commands.verify import check_rankers
from workflows.job.data import stored_indexes
from workflows.job.job import Job
from workflows.job.progress import show_progress

if TYPE_CHECKING:
    from crface.training.replicas import Replicas
    from pipeline.train.progress import TrainProgress

_TIMED_STEPS = 5
_LONG_S = 30


def train(job: Job, num_threads: int = 2, is_verified: bool = False) -> Place:
    """Train the ranker, alone or as one of the processes that torchrun started; returns its file.

    With `is_verified`, damaged rankers and checkpoints are removed first.
    """
    with workspace_held(job) as replicas:
        if is_verified and (replicas is None or replicas.is_first):
            check_rankers(job)
        if is_verified and replicas is not None:
            replicas.wait()
        return train_planned(JobPlans(job, stored_indexes(job)).training, num_threads, replicas)


@contextmanager
def workspace_held(job: Job) -> Iterator[Replicas | None]:
    """Hold the job's workspace, the first of several processes for all; yields this one among them, None if alone.

    Raises UserError when another command holds the workspace.
    """
    with ExitStack() as stack:
        replicas = None
        if int(os.environ.get("WORLD_SIZE", "1")) > 1:
            from crface.training.replicas import (
                joined,  # with torch, which a plan that is done need not wait for
            )

            replicas = stack.enter_context(joined())
        if replicas is None or replicas.is_first:
            stack.enter_context(job.workspace.locked(command_line()))
        if replicas is not None:
            replicas.wait()
        yield replicas


def train_planned(plan: TrainPlan, num_threads: int = 2, replicas: Replicas | None = None) -> Place:
    """Train what is planned; returns the ranker's file. Only the first process reports.

    Raises UserError as `pipeline.train.work.train` does; for missing candidates before anything is said.
    """
    is_first = replicas is None or replicas.is_first
    if plan.state == "done":
        if is_first:
            click.echo(f"train: nothing to do, {plan.ranker_file} is trained")
        return plan.ranker_file
    for key in dict.fromkeys([*plan.keys, *plan.asked]):
        open_complete(plan.workspace, plan.index, key)
    import torch

    from pipeline.train.work import train

    device = "cuda" if torch.cuda.is_available() else "cpu"
    if not is_first:
        return train(plan, device, num_threads=num_threads, replicas=replicas)
    click.echo(f"train: {training_words(plan)}")
    if plan.state == "resume":
        click.echo(f"train: goes on after step {plan.steps_done}")
    in_all = num_steps(plan.config)
    warm_since = 0.0
    with show_progress(f"train {plan.config.ranker} ranker", in_all, "steps", plan.steps_done) as progress:

        def show(step: TrainProgress) -> None:
            nonlocal warm_since
            taken = step.steps_done - plan.steps_done
            if taken == 1:  # the first step also loads and prepares
                warm_since = time.monotonic()
            if taken == 1 + _TIMED_STEPS:
                left = (in_all - step.steps_done) * (time.monotonic() - warm_since) / _TIMED_STEPS
                if left > _LONG_S:
                    click.echo(f"train: about {duration(left)} on this machine, held-out images apart")
            progress.reach(step.steps_done, note=f"loss {step.loss:.4f}, rate {step.learning_rate:.1e}")

        path = train(plan, device, progress=show, num_threads=num_threads, replicas=replicas)
    if plan.config.gate:
        for line in textwrap.wrap(f"train: {choice_words(read_choice(plan.choice_file))}", WIDTH):
            click.echo(line)
    click.echo(f"train: {path}")
    return path


def training_words(plan: TrainPlan) -> str:
    """What will be trained, in one line."""
    config, num_images = plan.config, len(plan.index.ok_rows)
    folds = f", {config.folds} times to judge it by and once for good" if config.folds > 1 else ""
    return (
        f"the {config.ranker} ranker on {counted(num_images, 'image')}, {config.iterations:,} steps of "
        f"{config.batch_size} at {config.image_side_px} px{folds}"
    )


def choice_words(choice: Choice) -> str:
    """What the held-out images say about a ranker, in one sentence."""
    judged = (
        f"on {counted(choice.num_images, 'held-out image')} AP goes from {100 * choice.predicted:.1f} to "
        f"{100 * choice.ranked:.1f} ({100 * (choice.ranked - choice.predicted):+.1f}, 95 % interval "
        f"{100 * choice.low:+.1f} to {100 * choice.high:+.1f})"
    )
    if choice.share:
        return f"{judged}; {100 * choice.share:.0f} % of the refinement is used"
    return (
        f"this ranker does not help here: {judged}. Refined confidences are the detector's own; "
        "more labelled images, or other detectors in the training, would be the first to try"
    )


def duration(seconds: float) -> str:
    """Seconds as a reader says them: `40 seconds`, `9 minutes`, `2.5 hours`."""
    if seconds < 90:
        return f"{seconds:.0f} seconds"
    return f"{seconds / 60:.0f} minutes" if seconds < 5400 else f"{seconds / 3600:.1f} hours"
