"""crface cache: the candidates of every image that has none."""

from collections.abc import Sequence

import click

from pipeline.cache.plan import CachePlan
from pipeline.cache.work import prepare_cache
from pipeline.errors import UserError
from pipeline.imports.imported import ImportedPlan
from pipeline.workspace.lock import command_line
from workflows.commands.plans import JobPlans
from workflows.commands.verify import check_candidates, check_indexes
from workflows.job.data import chosen_split, update_indexes
from workflows.job.job import Job
from workflows.spread.works import cache_work, run_works


def cache(job: Job, is_retry: bool = False, is_verified: bool = False) -> None:
    """Store the candidates of every image by every detector.

    With `is_retry`, blocks set aside earlier are retried; with `is_verified`, everything stored is read first, and
    what is damaged is computed again.
    """
    with job.workspace.locked(command_line()):
        if is_verified:
            check_indexes(job)
        indexes = update_indexes(job)
        if is_verified:
            check_candidates(job, indexes)
        splits = [chosen_split(indexes, job.split).split] if job.split else list(indexes)
        plans = JobPlans(job, indexes).candidates(*splits)
        own = [plan for plan in plans if isinstance(plan, CachePlan)]
        for part in (part for plan in own for part in (*plan.views, plan) if is_verified):
            prepare_cache(part)  # its attributes may be damaged even if no block is missing
        compute_candidates(own, job.cluster, is_retry)
        for imported in (plan for plan in plans if isinstance(plan, ImportedPlan)):
            if imported.blocks:
                raise UserError(imported.advice)
            click.echo(f"import {imported.key.detector} on {imported.key.split}: nothing to do")


def compute_candidates(plans: Sequence[CachePlan], cluster: str, is_retry: bool = False) -> None:
    """Carry out cache plans on one cluster and print what was done; the caller holds the workspace's lock.

    Raises UserError when blocks are set aside.
    """
    for note in (plan.note for plan in plans if plan.note):
        click.echo(note)
    # protocols may share views, which are as good as done once they are computed for the first
    parts = {(part.spec.workspace, part.key): part for plan in plans for part in (*plan.views, plan)}
    run_works([cache_work(part) for part in parts.values()], cluster, is_retry)
