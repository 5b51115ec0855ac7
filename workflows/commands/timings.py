"""Time the parts of a job on this machine, in this process, and store the table."""

import sys
from contextlib import nullcontext, redirect_stdout
from dataclasses import asdict
from typing import Any

import click

from pipeline.errors import UsageError
from pipeline.imports.imported import is_imported
from pipeline.results.timings import NAME, as_lines, write_timings
from pipeline.workspace.lock import command_line
from workflows.commands.plans import JobPlans
from workflows.job.data import update_indexes
from workflows.job.job import Job
from workflows.job.progress import shown_if_long
from workflows.job.shown import show_table


def timings(job: Job, protocols: tuple[str, ...], num_images: int, show: bool) -> list[dict[str, Any]]:
    """Time the job's detectors under some protocols, and its ranker if there is one; returns the rows as JSON values.

    Raises UsageError for imported candidates, whose detector is not here.
    """
    from pipeline.bench.timings import Timed, time_images  # with torch, which only this command waits for

    if foreign := [name for name in job.config.cache.detectors if is_imported(name)]:
        raise UsageError(f"{foreign[0]} ran elsewhere: there is nothing to time; name others with --detector")
    with job.workspace.locked(command_line()):
        # what is said about the index is no part of the JSON
        with nullcontext() if show else redirect_stdout(sys.stderr):
            plans = JobPlans(job, update_indexes(job))
        ranker = plans.ranker
        timed = Timed(
            index=plans.evaluated,
            protocols={detector: dict.fromkeys(protocols, ranker) for detector in job.config.cache.detectors},
            num_images=num_images,
        )
        with shown_if_long("time") as progress:
            table = time_images(timed, job.config.cache, job.config.evaluate, progress)
        rows = [row for part in table.values() for row in part]
        write_timings(job.workspace, rows)
    if show:
        show_table("\n".join(["", *as_lines(rows)]))
        if ranker is None:
            click.echo(
                "\nno ranker: none is trained with this configuration, and none is given with --ranker"
            )
        click.echo(f"\nstored in {job.workspace.results / NAME}")
    return [asdict(row) for row in rows]
