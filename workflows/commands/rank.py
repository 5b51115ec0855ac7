"""crface rank: the refined confidences of every image that has none."""

from collections.abc import Sequence

import click

from pipeline.rank.judging import judge
from pipeline.rank.plan import RankPlan
from pipeline.workspace.lock import command_line
from workflows.commands.plans import JobPlans
from workflows.commands.verify import check_scores
from workflows.job.data import stored_indexes
from workflows.job.job import Job
from workflows.job.shown import wrapped
from workflows.spread.works import rank_work, run_works


def rank(
    job: Job, is_retry: bool = False, is_verified: bool = False, *, is_trusted_everywhere: bool = False
) -> None:
    """Store refined confidences for the evaluation split; `is_retry` and `is_verified` as for `cache`.

    With `is_trusted_everywhere` the ranker is not asked whether it is at home on these images.
    """
    with job.workspace.locked(command_line()):
        indexes = stored_indexes(job)
        if is_verified:
            check_scores(job, indexes)
        plans = JobPlans(job, indexes)
        _judge(plans, is_trusted_everywhere)
        compute_scores(plans.rankings, job.cluster, is_retry, is_verified)


def compute_scores(
    plans: Sequence[RankPlan], cluster: str, is_retry: bool = False, is_verified: bool = False
) -> None:
    """Carry out ranking plans on one cluster and print what was done; the caller holds the workspace's lock.

    `is_retry` and `is_verified` as for `cache`. Raises UserError when blocks are set aside.
    """
    works = [rank_work(plan) for plan in plans]
    for work in works if is_verified else ():
        work.prepare()
    run_works(works, cluster, is_retry)


def _judge(plans: JobPlans, is_overruled: bool) -> None:
    """Record how far the ranker is trusted on each detector's candidates, which plans need; say where it is less."""
    keys = [plan.key for plan in plans.candidates(plans.evaluated.split)]
    judged = judge(plans.job.workspace, plans.evaluated, keys, plans.ranker_file, is_overruled, plans.asked)
    for key, judgement in judged.items():
        if judgement.trust < 1:
            sentence = f"rank {key.words}: {judgement.sentence(key.detector)}"
            click.echo(wrapped(sentence))
