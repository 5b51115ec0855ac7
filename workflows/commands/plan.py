"""What the stages would compute now, and why; nothing is written."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from pipeline.blocks.plan import Block, describe, num_to_compute
from pipeline.blocks.set_aside import SetAside, SetAsideBlock
from pipeline.cache.plan import CachePlan
from pipeline.dataset.index import IndexUpdate, update_index
from pipeline.dataset.splits import find_splits
from pipeline.evaluate.plan import plan_evaluate
from pipeline.report import ReportInput, plan_report
from pipeline.report import changes as report_changes
from pipeline.results import ap as results
from pipeline.train.plan import TrainPlan
from pipeline.workspace.layout import CandidateKey
from workflows.commands.plans import JobPlans
from workflows.job.data import data_root, is_embedded
from workflows.job.job import Job

_AFTER_TRAINING = ("rank", "evaluate", "report")


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One piece of work."""

    stage: str
    what: str
    todo: str
    """How much there is to do, in words; empty for nothing."""
    reasons: tuple[str, ...] = ()

    def as_json(self) -> dict[str, object]:
        """Give the entry as JSON values."""
        return asdict(self)

    def as_text(self) -> str:
        """Give the entry as a line, its reasons indented below."""
        about = f"{self.stage} {self.what}".rstrip()
        lines = [f"{about}: {self.todo or 'nothing to do'}", *(f"    {reason}" for reason in self.reasons)]
        return "\n".join(lines)


def plan(job: Job) -> list[Entry]:
    """Give the entries of all stages in their order.

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
        for split in find_splits(root)
    }
    indexes = {split: update.index for split, update in updates.items()}
    entries = [_index_entry(split, update) for split, update in updates.items()]
    plans = JobPlans(job, indexes)
    entries += [
        _blocks_entry(
            "cache" if isinstance(plan, CachePlan) else "import",
            p.key,
            p.blocks,
            SetAside(job.workspace.candidates_ledger(p.key)).read(indexes[p.key.split].row_digests),
        )
        for plan in plans.candidates(*indexes)
        for p in ((*plan.views, plan) if isinstance(plan, CachePlan) else (plan,))
    ]
    if job.ranker is None and "train" in indexes:
        entries.append(_training_entry(plans.training))
        if plans.training.state != "done":
            because = ("there will be another ranker",)
            return entries + [
                Entry(stage=s, what="", todo="all of it", reasons=because) for s in _AFTER_TRAINING
            ]
    if plans.ranker is not None:
        entries += [
            _blocks_entry(
                "rank",
                p.spec.key,
                p.blocks,
                SetAside(job.workspace.scores_ledger(p.spec.key, p.spec.ranker)).read(p.index.row_digests),
            )
            for p in plans.rankings
        ]
    why = results.changes(job.workspace, plan_evaluate(plans.evaluation))
    entries.append(_whole_entry("evaluate", why))
    parts = plan_report(ReportInput(plans.evaluation, job.config, plans.title))
    return [
        *entries,
        _whole_entry(
            "report", ["there will be other results"] if why else report_changes(job.workspace, parts)
        ),
    ]


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
    stage: str, key: CandidateKey, blocks: Sequence[Block], set_aside: Mapping[int, SetAsideBlock]
) -> Entry:
    aside = [set_aside[block.number].words for block in blocks if block.number in set_aside]
    tried = [block for block in blocks if block.number not in set_aside]
    todo = f"{num_to_compute(tried)} images in {len(tried)} blocks" if tried else ""
    named = [f"set aside until `crface {stage} --retry-failed`: {words}" for words in aside]
    return Entry(stage=stage, what=key.words, todo=todo, reasons=(*describe(tried), *named))


def _training_entry(plan: TrainPlan) -> Entry:
    steps = plan.config.iterations - plan.steps_done
    todo = "" if plan.state == "done" else f"{steps} of {plan.config.iterations} steps"
    return Entry(stage="train", what=f"{plan.config.ranker} ranker", todo=todo, reasons=plan.reasons)


def _whole_entry(stage: str, reasons: Sequence[str]) -> Entry:
    return Entry(stage=stage, what="", todo="all of it" if reasons else "", reasons=tuple(reasons))
