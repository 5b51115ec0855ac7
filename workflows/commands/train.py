"""crface train: a ranker, unless it is trained already; alone or as one of the processes that torchrun started."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

import click

from pipeline.workspace.lock import command_line
from pipeline.workspace.place import Place
from workflows.commands.plans import JobPlans
from workflows.commands.verify import check_rankers
from workflows.job.data import stored_indexes
from workflows.job.job import Job
from workflows.job.progress import show_progress

if TYPE_CHECKING:
    from crface.training.replicas import Replicas
    from pipeline.train.plan import TrainPlan
    from pipeline.train.progress import TrainProgress


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

    Raises UserError as `pipeline.train.work.train` does.
    """
    is_first = replicas is None or replicas.is_first
    if plan.state == "done":
        if is_first:
            click.echo(f"train: nothing to do, {plan.ranker_file} is trained")
        return plan.ranker_file
    import torch

    from pipeline.train.work import train

    device = "cuda" if torch.cuda.is_available() else "cpu"
    if not is_first:
        return train(plan, device, num_threads=num_threads, replicas=replicas)
    if plan.state == "resume":
        click.echo(f"train: goes on after step {plan.steps_done}")
    config = plan.config
    with show_progress(
        f"train {config.ranker} ranker", config.iterations, "steps", plan.steps_done
    ) as progress:

        def show(step: TrainProgress) -> None:
            progress.reach(step.steps_done, note=f"loss {step.loss:.4f}, rate {step.learning_rate:.1e}")

        path = train(plan, device, progress=show, num_threads=num_threads, replicas=replicas)
    click.echo(f"train: {path}")
    return path
