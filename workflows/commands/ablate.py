"""crface ablate: trainings on a cluster, as far as they are missing, and the table that compares them."""

from collections.abc import Sequence
from typing import Any

import click

from pipeline.errors import UserError
from pipeline.results.ablation import write_sweep
from pipeline.results.ablation_figures import write_sweep_figures
from pipeline.studies.ablation import (
    AblationPlan,
    SplitCandidates,
    Sweep,
    ablation_block,
    check_candidates,
    plan_ablation,
)
from pipeline.studies.ablation_table import format_sweep, sweep_figures, sweep_rows
from pipeline.workspace.lock import command_line
from pipeline.workspace.tables import as_json
from workflows.cluster.open import open_cluster
from workflows.commands.plans import JobPlans
from workflows.job.data import chosen_split, stored_indexes
from workflows.job.job import Job
from workflows.job.progress import show_progress
from workflows.job.shown import show_table
from workflows.spread.scatter import MAX_TRIES, Outcome, run_blocks


def ablate(
    job: Job, sweep: Sweep, settings: Sequence[str], num_seeds: int, show: bool
) -> list[dict[str, Any]]:
    """Compute the missing trainings of a sweep and store its table; the table's rows as JSON values.

    Raises UserError when candidates are missing or trainings failed; all others are stored and in the table.
    """
    with job.workspace.locked(command_line()):
        indexes = stored_indexes(job)
        plans = JobPlans(job, indexes)
        train, test = (
            SplitCandidates(index, tuple(p.key for p in plans.candidates(index.split)))
            for index in (chosen_split(indexes, "train"), plans.evaluated)
        )
        plan = plan_ablation(
            job.workspace,
            sweep,
            train,
            test,
            job.config,
            num_seeds,
            settings,
            job.ground_truth,
        )
        outcome: Outcome[str] = Outcome()
        if plan.blocks:
            check_candidates(job.workspace, train, test)
            outcome = _run(plan, job.cluster)
        elif show:
            click.echo(f"ablate {sweep}: nothing to do, all {len(plan.tasks)} tasks are done")
        rows = sweep_rows(plan)
        text = format_sweep(plan, rows, plans.title)
        path = write_sweep(job.workspace, sweep, rows, text)
        write_sweep_figures(job.workspace, sweep, sweep_figures(plan))
    if show:
        show_table(f"\n{text}\n")
        click.echo(f"stored in {path} and ablation-{sweep}.parquet")
    _check(plan, outcome)
    return [as_json(row) for row in rows]


def _run(plan: AblationPlan, cluster: str) -> Outcome[str]:
    blocks = plan.blocks
    what = f"ablate {plan.spec.sweep}"
    with (
        open_cluster(cluster, len(blocks)) as client,
        show_progress(what, len(plan.tasks), "tasks", len(plan.tasks) - len(blocks)) as progress,
    ):
        return run_blocks(
            client,
            ablation_block,
            plan.spec,
            blocks,
            lambda setting: progress.advance(note=f"last: {setting}"),
        )


def _check(plan: AblationPlan, outcome: Outcome[str]) -> None:
    """Raise UserError that names the tasks set aside, if any."""
    if not outcome.set_aside:
        return
    tasks = [(plan.spec.tasks[block.number], why) for block, why in outcome.set_aside]
    named = "; ".join(f"{task.setting}, seed {task.seed}: {why}" for task, why in tasks)
    raise UserError(
        f"{len(tasks)} of {outcome.num_blocks} tasks failed {MAX_TRIES} times: {named}. All others are stored; the "
        "same command tries these again"
    )
