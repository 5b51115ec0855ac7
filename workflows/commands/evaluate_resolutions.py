"""AP by resolution as a user runs it: candidates at every height, spread over a cluster, and then the table."""

import sys
from collections.abc import Sequence
from contextlib import ExitStack, redirect_stdout
from typing import Any

import click

from pipeline.cache.plan import CachePlan, plan_cache
from pipeline.dataset.index import Index
from pipeline.errors import UsageError
from pipeline.evaluate.plan import EvaluationInput
from pipeline.imports.imported import is_imported
from pipeline.results.resolutions import (
    format_resolutions,
    read_resolutions,
    resolution_changes,
    resolution_notes,
)
from pipeline.studies.resolutions import plan_resolutions
from pipeline.workspace.lock import command_line
from pipeline.workspace.tables import as_json
from workflows.commands.cache import compute_candidates
from workflows.commands.plans import source_of
from workflows.job.data import evaluation_split, is_embedded, update_indexes
from workflows.job.job import Job
from workflows.job.progress import shown_if_long
from workflows.job.shown import show_table

DEFAULT_HEIGHTS_PX = (240, 320, 480, 640, 784, 1024, 1600)
"""From a quarter of a usual photograph of WIDER FACE to twice it; 784 is where the paper sees its oracle fall."""


def evaluate_resolutions(job: Job, heights_px: Sequence[int], *, show: bool = True) -> list[dict[str, Any]]:
    """Compute, store and (with `show`) print predicted and oracle AP over image height; returns the split's rows.

    Without `show` standard output stays empty: what is done is said on standard error.

    Raises UsageError when a detector is one whose candidates were imported, UserError as the stages cache and
    evaluate do.
    """
    with ExitStack() as stack:
        if not show:
            stack.enter_context(redirect_stdout(sys.stderr))
        stack.enter_context(job.workspace.locked(command_line()))
        index = evaluation_split(update_indexes(job), job.split)
        planned = [
            (height, plan) for height in sorted(set(heights_px)) for plan in _plans(job, index, height)
        ]
        plans = [plan for _, plan in planned]
        evaluation = EvaluationInput(
            workspace=job.workspace,
            index=index,
            sources=[source_of(plan) for plan in plans],
            config=job.config.evaluate,
            ground_truth=job.ground_truth,
        )
        # also says, before anything is computed, when there is nothing to evaluate against
        parts = plan_resolutions(evaluation)
        compute_candidates(plans, job.cluster)
        if resolution_changes(job.workspace, index.split, parts):
            from pipeline.studies.resolutions import (
                evaluate_resolutions as run,  # with torch, which a second run need not wait for
            )

            with shown_if_long("evaluate") as progress:
                run(evaluation, [height for height, _ in planned], progress)
        else:
            click.echo("evaluate: nothing to do, the results are up to date")
        rows = read_resolutions(job.workspace, index.split)
        if is_embedded(job.workspace, index.data_root):
            click.echo("\nOn the embedded data set (generated pictures: not comparable with WIDER FACE):")
        show_table(f"\n{format_resolutions(rows)}")
        for note in resolution_notes(job.workspace, index.split):
            click.echo(note)
        click.echo(f"\nstored in {job.workspace.resolutions}")
        return [as_json(row) for row in rows]


def _plans(job: Job, index: Index, height_px: int) -> list[CachePlan]:
    config = job.config.cache.model_copy(update={"protocol": f"height-{height_px}"})
    for detector in config.detectors:
        if is_imported(detector):
            raise UsageError(
                f"the candidates of {detector} were computed elsewhere, at one size: choose a detector that "
                "runs here with --detector"
            )
    return [plan_cache(job.workspace, index, detector, config) for detector in config.detectors]
