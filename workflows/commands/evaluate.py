"""crface evaluate: the AP table, recomputed only if something changed."""

from typing import Any

import click

from pipeline.evaluate.plan import plan_evaluate
from pipeline.results import ap as results
from pipeline.results.ap_text import format_table
from pipeline.results.findings import format_calibration, format_failures, read_calibration, read_failures
from pipeline.results.summary import format_summary
from pipeline.workspace.lock import command_line
from pipeline.workspace.tables import as_json
from workflows.commands.plans import JobPlans
from workflows.job.data import is_embedded, stored_indexes
from workflows.job.job import Job
from workflows.job.progress import shown_if_long
from workflows.job.shown import show_table
from workflows.spread.evaluation import evaluation_runner


def evaluate(job: Job, *, show: bool = True, is_detailed: bool = False) -> list[dict[str, Any]]:
    """Compute, store and, with `show`, print what ranking gained; the rows of the AP table as JSON values.

    With `is_detailed` also the whole table, failures and calibration.
    """
    with job.workspace.locked(command_line()):
        plans = JobPlans(job, stored_indexes(job))
        evaluation = plans.evaluation
        if results.changes(job.workspace, plan_evaluate(evaluation)):
            # needs torch, which a run with nothing to do does not wait for
            from pipeline.evaluate.work import evaluate as run_evaluate

            with evaluation_runner(job.cluster) as run, shown_if_long("evaluate") as progress:
                run_evaluate(evaluation, progress, run)
        elif show:
            click.echo("evaluate: nothing to do, the results are up to date")
        rows = results.read_ap(job.workspace)
        if show:
            if is_embedded(job.workspace, plans.evaluated.data_root):
                click.echo("\nOn the embedded data set (generated pictures: not comparable with WIDER FACE):")
            show_table(f"\n{format_summary(rows)}\n")
            if is_detailed:
                show_table(f"{format_table(rows)}\n")
                show_table(f"{format_failures(read_failures(job.workspace))}\n")
                show_table(f"{format_calibration(read_calibration(job.workspace))}\n")
            for note in results.read_notes(job.workspace):
                click.echo(note)
            if not is_detailed:
                click.echo("exact AP, the recovered share, failures and calibration: crface evaluate -v")
            click.echo(f"stored in {job.workspace.results}")
        return [as_json(row) for row in rows]
