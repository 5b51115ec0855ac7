"""crface report: the HTML page, rebuilt only if something changed."""

import click

from pipeline.report import ReportInput, build_report, plan_report
from pipeline.report import changes as report_changes
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
        path = job.workspace.report / "index.html"
        if report_changes(job.workspace, plan_report(about)):
            path = build_report(about)
            click.echo(f"report: {path}")
        else:
            click.echo(f"report: nothing to do, {path} is up to date")
        return path
