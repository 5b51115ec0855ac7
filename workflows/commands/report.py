"""crface report: the HTML page, built if anything changed."""

import click

from pipeline.report import build_report, plan_report
from pipeline.report import changes as report_changes
from pipeline.workspace.lock import command_line
from pipeline.workspace.place import Place
from workflows.commands.plans import JobPlans
from workflows.job.data import stored_indexes
from workflows.job.job import Job


def report(job: Job) -> Place:
    """Write the HTML report; gives its path."""
    with job.workspace.locked(command_line()):
        plans = JobPlans(job, stored_indexes(job))
        chosen, sources, title = plans.evaluated, plans.sources, plans.title
        path = job.workspace.report / "index.html"
        parts = plan_report(job.workspace, chosen, sources, job.config, title, job.ground_truth)
        if report_changes(job.workspace, parts):
            path = build_report(job.workspace, chosen, sources, job.config, title, job.ground_truth)
            click.echo(f"report: {path}")
        else:
            click.echo(f"report: nothing to do, {path} is up to date")
        return path
