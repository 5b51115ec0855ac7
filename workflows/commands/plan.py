"""crface plan: what the stages would compute now, and why; nothing is written."""

import gc
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass

from pipeline.blocks.plan import Block, describe, num_to_compute
from pipeline.blocks.set_aside import SetAside, SetAsideBlock
from pipeline.cache.plan import CachePlan
from pipeline.dataset.index import IndexUpdate, update_index
from pipeline.dataset.splits import find_splits
from pipeline.evaluate.plan import plan_evaluate
from pipeline.ground_truth.truth import find_files
from pipeline.rank.plan import RankPlan
from pipeline.report import ReportInput, plan_report
from pipeline.report import changes as report_changes
from pipeline.results import ap as results
from pipeline.train.plan import TrainPlan, num_steps
from pipeline.workspace.layout import CandidateKey
from workflows.commands.plans import JobPlans
from workflows.job.data import asked_for, data_root, is_embedded
from workflows.job.job import Job

_AFTER_TRAINING = ("rank", "evaluate", "report")


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One piece of work."""

    stage: str
    what: str
    todo: str
    """Amount of work, in words; empty if there is nothing to do."""
    reasons: tuple[str, ...] = ()
    """Why there is work, and what is left out of it."""

    def as_json(self) -> dict[str, object]:
        """The entry as JSON values."""
        return asdict(self)

    def as_text(self) -> str:
        """The entry as one line, with its reasons indented below."""
        about = f"{self.stage} {self.what}".rstrip()
        lines = [f"{about}: {self.todo or 'nothing to do'}", *(f"    {reason}" for reason in self.reasons)]
        return "\n".join(lines)


@contextmanager
def _collecting_no_garbage() -> Iterator[None]:
    """Python's search for cycles, switched off: it looks at each of many rows again and again, and all of them stay."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


@_collecting_no_garbage()
def plan(job: Job) -> list[Entry]:
    """The entries of all stages, in order.

    Raises UserError when the data set or the workspace is damaged.
    """
    root = data_root(job)
    if is_embedded(job.workspace, root) and not root.exists():
        return [
            Entry(
                stage="dataset",
                what="",
                todo="make the embedded data set",
                reasons=("then plan again for the rest",),
            )
        ]
    updates = {
        split: update_index(
            job.workspace, root, split, is_dry_run=True, max_pixels=job.config.cache.max_pixels
        )
        for split in asked_for(job, root, find_splits(root))
    }
    plans = JobPlans(job, {split: update.index for split, update in updates.items()})
    return [_index_entry(split, update) for split, update in updates.items()] + stage_entries(plans)


def stage_entries(plans: JobPlans) -> list[Entry]:
    """The entries of the stages after the index, in order, for the data set as it is indexed.

    Raises UserError when the workspace is damaged.
    """
    job, entries = plans.job, _cache_entries(plans)
    if job.ranker is None and "train" in plans.indexes:
        entries.append(_training_entry(plans.training))
        if plans.training.state != "done":
            because = ["there will be another ranker"]
            return entries + [_whole_entry(stage, because) for stage in _AFTER_TRAINING]
    if plans.ranker is not None:
        entries += _rank_entries(plans)
    if not plans.evaluated.is_labelled and find_files(plans.evaluated, job.ground_truth) is None:
        return entries  # images without labels are for candidates only
    return entries + _result_entries(plans)


def _cache_entries(plans: JobPlans) -> list[Entry]:
    workspace = plans.job.workspace
    return [
        _blocks_entry(
            "cache" if isinstance(plan, CachePlan) else "import",
            part.key,
            part.blocks,
            SetAside(workspace.candidates_ledger(part.key)).read(plans.indexes[part.key.split].row_digests),
        )
        for plan in plans.candidates(*plans.indexes)
        for part in ((*plan.views, plan) if isinstance(plan, CachePlan) else (plan,))
    ]


def _rank_entries(plans: JobPlans) -> list[Entry]:
    workspace = plans.job.workspace
    return [
        _blocks_entry(
            "rank",
            plan.spec.key,
            plan.blocks,
            SetAside(workspace.scores_ledger(plan.spec.key, plan.spec.ranker)).read(plan.index.row_digests),
            _trust_words(plan),
        )
        for plan in plans.rankings
    ]


def _trust_words(plan: RankPlan) -> list[str]:
    """What is known of how far the ranker is trusted; nothing where it is trusted, or never was in doubt."""
    judgement = plan.judgement
    if judgement is None:
        return []
    if judgement.is_overruled:
        return ["trusted as --trust-everywhere said; without it, the trust is judged first"]
    if judgement.images != plan.index.digest:
        return [f"the trust is judged again first: it was {100 * judgement.trust:.0f} % before"]
    return [f"trusted at {judgement.figures}"] if judgement.trust < 1 else []


def _result_entries(plans: JobPlans) -> list[Entry]:
    workspace = plans.job.workspace
    why = results.changes(workspace, plan_evaluate(plans.evaluation))
    parts = plan_report(ReportInput(plans.evaluation, plans.job.config, plans.title))
    why_report = ["there will be other results"] if why else report_changes(workspace, parts)
    return [_whole_entry("evaluate", why), _whole_entry("report", why_report)]


def _index_entry(split: str, update: IndexUpdate) -> Entry:
    counts = {
        "new": update.added,
        "changed": update.changed,
        "relabelled": update.relabelled,
        "removed": update.removed,
        "unreadable": len(update.unreadable),
    }
    found = [f"{count} images {what}" for what, count in counts.items() if count and what != "unreadable"]
    todo = f"{sum(counts.values()) - counts['unreadable']} rows" if found else ""
    left_out = [f"left out: {path}: {reason}" for path, reason in update.unreadable]
    return Entry(stage="index", what=f"of {split}", todo=todo, reasons=(*found, *left_out, *update.notes))


def _blocks_entry(
    stage: str,
    key: CandidateKey,
    blocks: Sequence[Block],
    set_aside: Mapping[int, SetAsideBlock],
    remarks: Sequence[str] = (),
) -> Entry:
    aside = [set_aside[block.number].words for block in blocks if block.number in set_aside]
    tried = [block for block in blocks if block.number not in set_aside]
    todo = f"{num_to_compute(tried)} images in {len(tried)} blocks" if tried else ""
    named = [f"set aside until `crface {stage} --retry-failed`: {words}" for words in aside]
    return Entry(stage=stage, what=key.words, todo=todo, reasons=(*describe(tried), *named, *remarks))


def _training_entry(plan: TrainPlan) -> Entry:
    in_all = num_steps(plan.config)
    todo = "" if plan.state == "done" else f"{in_all - plan.steps_done} of {in_all} steps"
    return Entry(stage="train", what=f"{plan.config.ranker} ranker", todo=todo, reasons=plan.reasons)


def _whole_entry(stage: str, reasons: Sequence[str]) -> Entry:
    return Entry(stage=stage, what="", todo="all of it" if reasons else "", reasons=tuple(reasons))
