"""The comparison of protocols as a user runs it: candidates, rankers and scores of a few images, then the table."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, redirect_stdout
from dataclasses import replace
from typing import Any

import click

from pipeline.config.sections import ComparedProtocol
from pipeline.errors import UsageError, UserError
from pipeline.rank.plan import opinions_of, plan_rank
from pipeline.results.protocols import (
    comparison_changes,
    comparison_notes,
    format_comparison,
    read_comparison,
)
from pipeline.studies.protocols import Comparison, Line, RankerUsed, plan_comparisons
from pipeline.train.plan import plan_train
from pipeline.workspace.layout import Workspace
from pipeline.workspace.lock import command_line
from pipeline.workspace.place import Place
from pipeline.workspace.tables import as_json
from workflows.commands.cache import compute_candidates
from workflows.commands.compared import ComparedCandidates, compared_splits, training_candidates
from workflows.commands.plans import JobPlans, source_of
from workflows.commands.rank import compute_scores
from workflows.commands.train import train_planned
from workflows.job.data import is_embedded, update_indexes
from workflows.job.job import Job
from workflows.job.progress import shown_if_long
from workflows.job.shown import show_table


def evaluate_protocols(job: Job, *, show: bool = True) -> list[dict[str, Any]]:
    """Compute, store and (with `show`) print the comparison that the configuration asks for; returns its rows.

    Without `show` standard output stays empty: what is done is said on standard error.

    Raises UsageError when it asks for none, or for a detector whose candidates were imported; UserError as
    the stages do.
    """
    config = job.config.comparison
    if not config.protocols:
        raise UsageError(
            "the configuration names no protocols to compare: give it a section [[comparison.protocols]] with a "
            "`protocol` for each, or choose --config demo"
        )
    with ExitStack() as stack:
        if not show:
            stack.enter_context(redirect_stdout(sys.stderr))
        stack.enter_context(job.workspace.locked(command_line()))
        indexes = update_indexes(job, {one.split for one in config.protocols} if job.split is None else ())
        splits = list(compared_splits(job, indexes))
        trained = training_candidates(job, indexes)
        plans = JobPlans(job, indexes)
        if any("run" in one.rankers for one in config.protocols):
            _check_that_it_asks_nobody(plans.ranker_file)  # candidates may take hours
        _compute([*(found for split in splits for found in split.candidates), *trained], job.cluster)
        rankers = {one: list(_rankers(plans, one, trained)) for one in config.protocols}
        comparisons = [
            Comparison(
                workspace=split.images.workspace,
                index=split.images.index,
                lines=[
                    line
                    for found in split.candidates
                    for line in _lines(found, rankers[found.compared], job.config.evaluate.score_threshold)
                ],
                config=job.config,
                num_split_images=split.num_images,
                ground_truth=job.ground_truth,
            )
            for split in splits
        ]
        _score([line for comparison in comparisons for line in comparison.lines], job.cluster)
        if comparison_changes(job.workspace, plan_comparisons(comparisons)):
            _compare(job.workspace, comparisons)
        else:
            click.echo("evaluate-protocols: nothing to do, the results are up to date")
        rows = read_comparison(job.workspace)
        if is_embedded(job.workspace, splits[0].images.index.data_root):
            click.echo("\nOn the embedded data set (generated pictures: not comparable with WIDER FACE):")
        show_table(f"\n{format_comparison(rows)}")
        for note in comparison_notes(job.workspace):
            click.echo(note)
        click.echo(f"\nstored in {job.workspace.protocols}")
        return [as_json(row) for row in rows]


def _compare(workspace: Workspace, comparisons: Sequence[Comparison]) -> None:
    """Time and evaluate all comparisons, and store their table."""
    # with torch, which a second run need not wait for
    from pipeline.evaluate.work import measure
    from pipeline.studies.protocols import compare, time_lines

    timings, measured = [], []
    for comparison in comparisons:
        with shown_if_long(f"time on {comparison.index.split}") as progress:
            timings.append(time_lines(comparison, progress))
        with shown_if_long(f"evaluate on {comparison.index.split}") as progress:
            measured.append(measure(comparison.evaluation, progress))
    compare(workspace, comparisons, timings, measured)


def _compute(candidates: Sequence[ComparedCandidates], cluster: str) -> None:
    plans = [found.plan for found in candidates]
    missing = [plan for plan in plans if plan.blocks or any(view.blocks for view in plan.views)]
    if missing:
        compute_candidates(missing, cluster)
    else:  # a line for each view would be dozens
        click.echo(f"candidates of {len(plans)} detectors and protocols to compare: nothing to do")


def _rankers(
    plans: JobPlans, compared: ComparedProtocol, trained: Sequence[ComparedCandidates]
) -> Iterator[RankerUsed]:
    """The rankers that a protocol asks for; its own one is trained where it is not there."""
    job = plans.job
    for kind in compared.rankers:
        if kind == "run":
            known = len(plans.indexes["train"].ok_rows) if job.ranker is None else 0
            yield RankerUsed(plans.ranker_file, known)
            continue
        found = [one for one in trained if one.compared == compared]
        images = found[0].images
        keys = [one.plan.key for one in found]
        plan = plan_train(images.workspace, images.index, keys, job.config.train)
        used = RankerUsed(plan.ranker_file, len(images.index.ok_rows), keys[0].protocol)
        if plan.state == "done":
            click.echo(f"train {used.name}: nothing to do, {used.file} is trained")
        else:
            train_planned(plan)
        yield used


def _check_that_it_asks_nobody(ranker: Place) -> None:
    if names := opinions_of(ranker):
        raise UserError(
            f"the ranker {ranker} asks {', '.join(names)}, and here each line has the candidates of one: "
            "compare another ranker, or run `crface rank` and `crface evaluate` with --protocol"
        )


def _lines(candidates: ComparedCandidates, rankers: Sequence[RankerUsed], above: float) -> Iterator[Line]:
    plan, images = candidates.plan, candidates.images
    own = Line(detector=candidates.detector, protocol=candidates.compared.protocol, source=source_of(plan))
    yield own
    for ranker in rankers:
        ranking = plan_rank(
            images.workspace, images.index, plan.key, ranker.file, images.block_images, above=above
        )
        yield replace(own, ranker=ranker, ranking=ranking)


def _score(lines: Sequence[Line], cluster: str) -> None:
    plans = [line.ranking for line in lines if line.ranking is not None]
    missing = [plan for plan in plans if plan.blocks]
    if missing:
        compute_scores(missing, cluster)
    elif plans:
        click.echo(f"refined confidences of {len(plans)} to compare: nothing to do")
