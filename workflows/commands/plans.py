"""What the stages of a job would do, and with what: candidates, ranker, refined confidences, sources."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from pipeline.cache.plan import CachePlan, plan_cache
from pipeline.dataset.index import Index
from pipeline.errors import UserError
from pipeline.evaluate.sources import Source
from pipeline.imports.imported import ImportedPlan, is_imported, plan_imported
from pipeline.workspace.place import Place
from workflows.job.data import chosen_split, evaluation_split, is_embedded
from workflows.job.job import Job

if TYPE_CHECKING:
    from pipeline.rank.plan import RankPlan
    from pipeline.train.plan import TrainPlan


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
