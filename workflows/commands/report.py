"""crface report: the HTML page of a workspace, or of several compared, rebuilt only if something changed."""

from collections.abc import Sequence

import click

from pipeline.errors import UserError
from pipeline.report import ReportInput, build_report, plan_report
from pipeline.report import changes as report_changes
from pipeline.report.compare import (
    build_comparison,
    compare_changes,
    compare_folder,
    plan_compare,
)
from pipeline.report.runs import named_runs
from pipeline.report.written import PAGE
from pipeline.workspace.layout import Workspace
from pipeline.workspace.lock import command_line
from pipeline.workspace.place import Place
from workflows.commands.plans import JobPlans
from workflows.job.data import stored_indexes
from workflows.job.job import Job


def report(job: Job) -> Place:
    """Write the HTML report; its path."""
    with job.workspace.locked(command_line()):
        plans = JobPlans(job, stored_indexes(job))
        about = ReportInput(plans.evaluation, job.config, plans.title)
        path = job.workspace.report / PAGE
        if report_changes(job.workspace, plan_report(about)):
            path = build_report(about)
            click.echo(f"report: {path}")
        else:
            click.echo(f"report: nothing to do, {path} is up to date")
        return path


def compare(places: Sequence[Place], out: Place | None) -> Place:
    """Write the page that compares workspaces, into the report of the first or of the one at `out`; its path.

    Raises UsageError for fewer than two workspaces or one given twice, UserError when one has no results.
    """
    runs = named_runs([Workspace(place.absolute()) for place in places])
    for run in runs:
        if not (run.workspace.results / "ap.parquet").is_file():
            raise UserError(
                f"the workspace {run.workspace.root} has no results: run `crface evaluate --out "
                f"{run.workspace.root}` first"
            )
    home = runs[0].workspace if out is None else Workspace(out.absolute())
    folder = compare_folder(home)
    with home.locked(command_line()):
        if not compare_changes(folder, plan_compare(runs)):
            click.echo(f"report: nothing to do, {folder / PAGE} is up to date")
            return folder / PAGE
        path = build_comparison(runs, folder)
    click.echo(f"report: {path}")
    return path
