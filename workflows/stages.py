"""The stages as a user runs them: each finds out what is missing, does just that, and says what it did."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from pipeline.cache.plan import CachePlan, plan_cache
from pipeline.cache.work import prepare_cache
from pipeline.dataset.index import Index
from pipeline.errors import UserError
from pipeline.evaluate.plan import plan_evaluate
from pipeline.evaluate.sources import Source
from pipeline.imports.imported import ImportedPlan, is_imported, plan_imported
from pipeline.report import build_report, plan_report
from pipeline.report import changes as report_changes
from pipeline.results import ap as results
from pipeline.results.ap_text import format_table
from pipeline.results.findings import read_calibration, read_failures
from pipeline.results.findings_text import format_calibration, format_failures
from pipeline.workspace.lock import command_line
from pipeline.workspace.place import Place
from workflows.job.data import chosen_split, evaluation_split, is_embedded, stored_indexes, update_indexes
from workflows.job.job import Job
from workflows.job.progress import shown_if_long
from workflows.ranker_training import train_planned, workspace_held
from workflows.spread.evaluation import evaluation_runner
from workflows.spread.works import cache_work, rank_work, run_works
from workflows.verifying import check_candidates, check_indexes, check_rankers, check_scores

if TYPE_CHECKING:
    from pipeline.rank.plan import RankPlan
    from pipeline.train.plan import TrainPlan


def index(job: Job) -> None:
    """Bring the workspace's index up to date."""
    with job.workspace.locked(command_line()):
        update_indexes(job)


def cache(job: Job, is_retry: bool = False, is_verified: bool = False) -> None:
    """Store the candidates of every image by every detector.

    With `is_retry`, blocks set aside before are tried, too; with `is_verified`, all that is stored is read
    first, and what is damaged is computed again.
    """
    with job.workspace.locked(command_line()):
        if is_verified:
            check_indexes(job)
        indexes = update_indexes(job)
        if is_verified:
            check_candidates(job, indexes)
        chosen = [chosen_split(indexes, job.split)] if job.split else list(indexes.values())
        plans = [
            candidate_plan(job, one, detector) for detector in job.config.cache.detectors for one in chosen
        ]
        own = [plan for plan in plans if isinstance(plan, CachePlan)]
        for part in (part for plan in own for part in (*plan.views, plan) if is_verified):
            prepare_cache(part)  # whose attributes may be damaged where there is nothing to compute
        compute_candidates(own, job.cluster, is_retry)
        for imported in (plan for plan in plans if isinstance(plan, ImportedPlan)):
            if imported.blocks:
                raise UserError(imported.advice)
            click.echo(f"import {imported.key.detector} on {imported.key.split}: nothing to do")


def compute_candidates(plans: Sequence[CachePlan], cluster: str, is_retry: bool = False) -> None:
    """Carry out cache plans on one cluster, and say what was done; the caller holds the workspace's lock.

    Raises UserError when blocks are set aside.
    """
    for note in (plan.note for plan in plans if plan.note):
        click.echo(note)
    run_works([cache_work(part) for plan in plans for part in (*plan.views, plan)], cluster, is_retry)


def train(job: Job, num_threads: int = 2, is_verified: bool = False) -> Place:
    """Train the ranker, alone or as one of the processes that torchrun started; gives its file.

    With `is_verified`, damaged rankers and checkpoints are removed first.
    """
    with workspace_held(job) as replicas:
        if is_verified and (replicas is None or replicas.is_first):
            check_rankers(job)
        if is_verified and replicas is not None:
            replicas.wait()
        return train_planned(training_plan(job, stored_indexes(job)), num_threads, replicas)


def rank(job: Job, is_retry: bool = False, is_verified: bool = False) -> None:
    """Store refined confidences of the evaluation split's candidates; `is_retry` and `is_verified` as for `cache`."""
    with job.workspace.locked(command_line()):
        indexes = stored_indexes(job)
        if is_verified:
            check_scores(job, indexes)
        plans = ranking_plans(job, indexes, ranker_file(job, indexes))
        compute_scores(plans, job.cluster, is_retry, is_verified)


def compute_scores(
    plans: "Sequence[RankPlan]", cluster: str, is_retry: bool = False, is_verified: bool = False
) -> None:
    """Carry out ranking plans on one cluster, and say what was done; the caller holds the workspace's lock.

    `is_retry` and `is_verified` as for `cache`. Raises UserError when blocks failed.
    """
    works = [rank_work(plan) for plan in plans]
    for work in works if is_verified else ():
        work.prepare()
    run_works(works, cluster, is_retry)


def evaluate(job: Job, show: bool = True) -> list[dict[str, Any]]:
    """Compute, store and (with `show`) print the AP table; gives its rows as JSON values."""
    with job.workspace.locked(command_line()):
        indexes = stored_indexes(job)
        chosen = evaluation_split(indexes, job.split)
        sources = evaluation_sources(job, indexes)
        parts = plan_evaluate(chosen, sources, job.config.evaluate, job.ground_truth)
        if results.changes(job.workspace, parts):
            from pipeline.evaluate.work import evaluate as run_evaluate

            with evaluation_runner(job.cluster) as run, shown_if_long("evaluate") as progress:
                run_evaluate(
                    job.workspace, chosen, sources, job.config.evaluate, job.ground_truth, progress, run
                )
        elif show:
            click.echo("evaluate: nothing to do, the results are up to date")
        rows = results.read_ap(job.workspace)
        if show:
            if is_embedded(job.workspace, chosen.data_root):
                click.echo("\nOn the embedded data set (generated pictures: not comparable with WIDER FACE):")
            click.echo("\n" + format_table(rows))
            click.echo("\n" + format_failures(read_failures(job.workspace)))
            click.echo("\n" + format_calibration(read_calibration(job.workspace)) + "\n")
            for note in results.read_notes(job.workspace):
                click.echo(note)
            click.echo(f"stored in {job.workspace.results}")
        return [results.as_json(row) for row in rows]


def report(job: Job) -> Place:
    """Write the HTML report; gives its path."""
    with job.workspace.locked(command_line()):
        indexes = stored_indexes(job)
        chosen = evaluation_split(indexes, job.split)
        sources = evaluation_sources(job, indexes)
        title = report_title(job, chosen)
        path = job.workspace.report / "index.html"
        parts = plan_report(job.workspace, chosen, sources, job.config, title, job.ground_truth)
        if report_changes(job.workspace, parts):
            path = build_report(job.workspace, chosen, sources, job.config, title, job.ground_truth)
            click.echo(f"report: {path}")
        else:
            click.echo(f"report: nothing to do, {path} is up to date")
        return path


def candidate_plan(job: Job, index: Index, detector: str) -> CachePlan | ImportedPlan:
    """Plan a detector's candidates on a split; those of `imported:NAME` are there, or cannot be computed."""
    if is_imported(detector):
        return plan_imported(job.workspace, index, detector, job.config.cache.block_images)
    return plan_cache(job.workspace, index, detector, job.config.cache)


def training_plan(job: Job, indexes: Mapping[str, Index]) -> "TrainPlan":
    """Plan the training on the train split's candidates by the job's detectors.

    Raises UserError when the data set has no train split.
    """
    from pipeline.train.plan import plan_train

    index = chosen_split(indexes, "train")
    keys = [candidate_plan(job, index, d).key for d in job.config.cache.detectors]
    return plan_train(job.workspace, index, keys, job.config.train)


def ranker_file(job: Job, indexes: Mapping[str, Index]) -> Place:
    """Give the ranker to apply: the given one, else the one that is trained with this configuration.

    Raises UserError when there is none.
    """
    if job.ranker is not None:
        return job.ranker
    plan = training_plan(job, indexes)
    if plan.state != "done":
        raise UserError(
            f"no ranker is trained with this configuration in {job.workspace.root}: "
            "run `crface train`, or give one with --ranker"
        )
    return plan.ranker_file


def ranking_plans(job: Job, indexes: Mapping[str, Index], ranker: Place) -> "list[RankPlan]":
    """Plan the ranking of the evaluation split's candidates by each of the job's detectors."""
    from pipeline.rank.plan import plan_rank

    index = evaluation_split(indexes, job.split)
    plans = [candidate_plan(job, index, d) for d in job.config.cache.detectors]
    return [plan_rank(job.workspace, index, plan.key, ranker, plan.block_images) for plan in plans]


def evaluation_sources(job: Job, indexes: Mapping[str, Index]) -> list[Source]:
    """List what is evaluated: each detector's candidates, with the ranker's confidences where there is a ranker."""
    index = evaluation_split(indexes, job.split)
    plans = [candidate_plan(job, index, d) for d in job.config.cache.detectors]
    rankers, training = [""] * len(plans), ""
    ranker = job.ranker
    if ranker is None and "train" in indexes and (plan := training_plan(job, indexes)).state == "done":
        ranker, training = plan.ranker_file, plan.fingerprint
    if ranker is not None:
        rankers = [plan.spec.ranker for plan in ranking_plans(job, indexes, ranker)]
    return [
        Source(
            key=plan.key,
            weights=plan.parts["detector"]["weights"],
            ranker=ranker,
            training=training,
            input_size=plan.input_size,
        )
        for plan, ranker in zip(plans, rankers, strict=True)
    ]


def report_title(job: Job, index: Index) -> str:
    """Name the data set that a report is about."""
    if is_embedded(job.workspace, index.data_root):
        return "embedded data set (generated)"
    return index.data_root.name
