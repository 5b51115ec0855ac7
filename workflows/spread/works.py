"""Computing the missing blocks of several stores on one cluster, and reporting what was done, left out or set aside."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import click

from pipeline.blocks.commit import BlockReport
from pipeline.blocks.plan import num_to_compute
from pipeline.blocks.set_aside import SetAside, SetAsideBlock
from pipeline.cache.fuse import FuseSpec, fuse_block
from pipeline.cache.plan import CachePlan
from pipeline.cache.work import cache_block, finish_cache, prepare_cache
from pipeline.dataset.index import planned_index
from pipeline.errors import UserError
from workflows.cluster.open import dashboard_link, open_cluster
from workflows.job.progress import show_progress
from workflows.spread.scatter import MAX_TRIES, Outcome, run_blocks

if TYPE_CHECKING:
    from distributed import Client

    from pipeline.blocks.plan import Block
    from pipeline.rank.plan import RankPlan

_MAX_NAMED = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """The missing blocks of one store, and how to compute them."""

    command: Literal["cache", "rank"]
    """The subcommand of `crface` that computes them."""
    store: str
    """The store's name in messages."""
    function: Callable[[Any, "Block"], BlockReport]
    spec: object
    blocks: "Sequence[Block]"
    prepare: Callable[[], None]
    finish: Callable[[], None]
    set_aside: SetAside
    row_digests: Callable[[], Sequence[str]]
    """Digests of the images that the blocks are computed from, by row."""

    @property
    def title(self) -> str:
        """The work's name in messages."""
        return f"{self.command} {self.store}"


def cache_work(plan: CachePlan) -> Work:
    """The work of one plan of the cache stage, without that of its views."""
    spec = plan.spec
    return Work(
        command="cache",
        store=plan.key.words,
        function=fuse_block if isinstance(spec, FuseSpec) else cache_block,
        spec=spec,
        blocks=plan.blocks,
        prepare=lambda: prepare_cache(plan),
        finish=lambda: finish_cache(plan),
        set_aside=SetAside(spec.workspace.candidates_ledger(plan.key)),
        row_digests=lambda: planned_index(spec.workspace, plan.key.split, spec.index_digest).row_digests,
    )


def rank_work(plan: "RankPlan") -> Work:
    """The work of one plan of the rank stage."""
    from pipeline.rank.work import finish_rank, prepare_rank, rank_block

    return Work(
        command="rank",
        store=plan.spec.key.words,
        function=rank_block,
        spec=plan.spec,
        blocks=plan.blocks,
        prepare=lambda: prepare_rank(plan),
        finish=lambda: finish_rank(plan),
        set_aside=SetAside(plan.spec.workspace.scores_ledger(plan.spec.key, plan.spec.ranker)),
        row_digests=lambda: plan.index.row_digests,
    )


def run_works(works: Sequence[Work], cluster: str, is_retry: bool = False) -> None:
    """Compute the blocks of several stores on one cluster, which is started only if there are any.

    A block that fails MAX_TRIES times is set aside, which the workspace records: later runs skip it unless they are
    a retry.

    Raises UserError when blocks are set aside, in this run or an earlier one; all others are finished by then.
    """
    left: list[SetAsideBlock] = []
    todo: list[Work] = []
    for work in works:
        before = work.set_aside.read(work.row_digests()) if work.blocks and not is_retry else {}
        aside = [before[block.number] for block in work.blocks if block.number in before]
        left += aside
        if work.blocks:
            work.set_aside.replace(aside)
        blocks = [block for block in work.blocks if block.number not in before]
        if blocks:
            todo.append(replace(work, blocks=blocks))
        else:
            click.echo(f"{work.title}: nothing to do" + (" but what is set aside" if aside else ""))
        _name("set aside before", [block.words for block in aside])
    if todo:
        left += _run(todo, cluster)
    if left:
        raise UserError(
            f"{len(left)} block{'s' * (len(left) > 1)} failed {MAX_TRIES} times and "
            f"{'are' if len(left) > 1 else 'is'} set aside; all others are finished. What is set aside is tried "
            f"again when its images change, or by `crface {works[0].command} --retry-failed`"
        )


def _run(todo: Sequence[Work], cluster: str) -> list[SetAsideBlock]:
    """Compute the blocks; the ones that had to be set aside."""
    with ExitStack() as stack:
        for work in todo:
            work.prepare()
            stack.callback(work.finish)  # also after Ctrl-C
        client = stack.enter_context(open_cluster(cluster, sum(len(work.blocks) for work in todo)))
        if (link := dashboard_link(client)) is not None:
            click.echo(f"dashboard: {link}", err=True)
        outcomes = [_run_one(work, client) for work in todo]
    for work, (outcome, aside) in zip(todo, outcomes, strict=True):
        _tell(work, outcome, aside)
    return [block for _, aside in outcomes for block in aside]


def _run_one(work: Work, client: "Client") -> tuple[Outcome[BlockReport], list[SetAsideBlock]]:
    aside: list[SetAsideBlock] = []

    def set_aside(block: "Block", why: str) -> None:
        # at once, so that an interrupted run need not find out again
        aside.append(work.set_aside.add(block, why, work.row_digests()))

    with show_progress(work.title, num_to_compute(work.blocks)) as progress:
        outcome = run_blocks(
            client,
            work.function,
            work.spec,
            work.blocks,
            lambda done: progress.advance(done.num_images),
            on_gpu=work.function is not fuse_block,
            on_set_aside=set_aside,
        )
    return outcome, aside


def _tell(work: Work, outcome: Outcome[BlockReport], aside: Sequence[SetAsideBlock]) -> None:
    errors = [error for done in outcome.done for error in done.errors]
    total = sum(done.num_images for done in outcome.done)
    click.echo(
        f"{work.title}: {total - len(errors)} images done"
        + (f", {len(errors)} left out" if errors else "")
        + (f", {sum(block.stop - block.start for block in aside)} set aside" if aside else "")
    )
    _name("left out", errors)
    _name("set aside", [block.words for block in aside])


def _name(how: str, lines: Sequence[str]) -> None:
    for line in lines[:_MAX_NAMED]:
        click.echo(f"  {how}: {line}", err=True)
    if len(lines) > _MAX_NAMED:
        click.echo(f"  and {len(lines) - _MAX_NAMED} more", err=True)
