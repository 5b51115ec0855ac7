"""The comparison of protocols as a user runs it: candidates, rankers and scores of a few images, then the table."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, redirect_stdout
from dataclasses import dataclass, replace
from typing import Any

import click

from pipeline.cache.plan import CachePlan, plan_cache
from pipeline.config.sections import ComparedProtocol
from pipeline.dataset.index import Index
from pipeline.dataset.subset import subset
from pipeline.errors import UsageError
from pipeline.imports.imported import is_imported
from pipeline.rank.plan import plan_rank
from pipeline.results.protocols import (
    comparison_changes,
    comparison_notes,
    format_comparison,
    read_comparison,
)
from pipeline.studies.protocols import Comparison, Line, RankerUsed, plan_comparison
from pipeline.train.plan import plan_train
from pipeline.workspace.layout import Workspace
from pipeline.workspace.lock import command_line
from pipeline.workspace.tables import as_json
from workflows.commands.cache import compute_candidates
from workflows.commands.plans import JobPlans, source_of
from workflows.commands.rank import compute_scores
from workflows.commands.train import train_planned
from workflows.job.data import chosen_split, evaluation_split, is_embedded, update_indexes
from workflows.job.job import Job
from workflows.job.progress import shown_if_long
from workflows.job.shown import show_table


@dataclass(frozen=True, slots=True)
class _Images:
    """Some images of a split, and where what is made of them is stored."""

    workspace: Workspace
    index: Index
    block_images: int


@dataclass(frozen=True, slots=True)
class _Candidates:
    """A detector's candidates of some images under one of the compared protocols."""

    detector: str
    """As `detectors.create` takes it."""
    compared: ComparedProtocol
    images: _Images
    plan: CachePlan


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
        indexes = update_indexes(job)
        split = evaluation_split(indexes, job.split)
        images = _some(job, split, config.images)
        tested = [found for one in config.protocols for found in _candidates(job, images, one)]
        trained = _training_candidates(job, indexes)
        _compute([*tested, *trained], job.cluster)
        plans = JobPlans(job, indexes)
        rankers = {one: list(_rankers(plans, one, trained)) for one in config.protocols}
        lines = [line for found in tested for line in _lines(found, rankers[found.compared])]
        _score(lines, job.cluster)
        comparison = Comparison(
            workspace=images.workspace,
            index=images.index,
            lines=lines,
            config=job.config,
            num_split_images=len(split.ok_rows),
            ground_truth=job.ground_truth,
        )
        if comparison_changes(job.workspace, plan_comparison(comparison)):
            # with torch, which a second run need not wait for
            from pipeline.studies.protocols import compare, time_lines

            with shown_if_long("time") as progress:
                timings = time_lines(comparison, progress)
            with shown_if_long("evaluate") as progress:
                compare(job.workspace, comparison, timings, progress)
        else:
            click.echo("evaluate-protocols: nothing to do, the results are up to date")
        rows = read_comparison(job.workspace)
        if is_embedded(job.workspace, split.data_root):
            click.echo("\nOn the embedded data set (generated pictures: not comparable with WIDER FACE):")
        show_table(f"\n{format_comparison(rows)}")
        for note in comparison_notes(job.workspace):
            click.echo(note)
        click.echo(f"\nstored in {job.workspace.protocols}")
        return [as_json(row) for row in rows]


def _some(job: Job, index: Index, num_images: int) -> _Images:
    workspace, some = subset(job.workspace, index, num_images)
    # each of a few images may take long: in blocks of one, every worker has its share
    return _Images(workspace, some, 1 if workspace != job.workspace else job.config.cache.block_images)


def _candidates(job: Job, images: _Images, compared: ComparedProtocol) -> list[_Candidates]:
    config = job.config.cache.model_copy(
        update={"protocol": compared.protocol, "block_images": images.block_images}
    )
    detectors = compared.detectors or config.detectors
    for detector in detectors:
        if is_imported(detector):
            raise UsageError(
                f"the candidates of {detector} were computed elsewhere, under one protocol: choose a detector "
                "that runs here with --detector"
            )
    return [
        _Candidates(spec, compared, images, plan_cache(images.workspace, images.index, spec, config))
        for spec in detectors
    ]


def _training_candidates(job: Job, indexes: Mapping[str, Index]) -> list[_Candidates]:
    """Plan what rankers of protocols' own are trained from."""
    config = job.config.comparison
    owners = [one for one in config.protocols if "own" in one.rankers]
    if not owners:
        return []
    images = _some(job, chosen_split(indexes, "train"), config.train_images)
    return [found for one in owners for found in _candidates(job, images, one)]


def _compute(candidates: Sequence[_Candidates], cluster: str) -> None:
    plans = [found.plan for found in candidates]
    missing = [plan for plan in plans if plan.blocks or any(view.blocks for view in plan.views)]
    if missing:
        compute_candidates(missing, cluster)
    else:  # a line for each view would be dozens
        click.echo(f"candidates of {len(plans)} detectors and protocols to compare: nothing to do")


def _rankers(
    plans: JobPlans, compared: ComparedProtocol, trained: Sequence[_Candidates]
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


def _lines(candidates: _Candidates, rankers: Sequence[RankerUsed]) -> Iterator[Line]:
    plan, images = candidates.plan, candidates.images
    own = Line(detector=candidates.detector, protocol=candidates.compared.protocol, source=source_of(plan))
    yield own
    for ranker in rankers:
        ranking = plan_rank(images.workspace, images.index, plan.key, ranker.file, images.block_images)
        yield replace(own, ranker=ranker, ranking=ranking)


def _score(lines: Sequence[Line], cluster: str) -> None:
    plans = [line.ranking for line in lines if line.ranking is not None]
    missing = [plan for plan in plans if plan.blocks]
    if missing:
        compute_scores(missing, cluster)
    elif plans:
        click.echo(f"refined confidences of {len(plans)} to compare: nothing to do")
