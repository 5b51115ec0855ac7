"""The evaluate stage: from stored candidates and scores to AP, its intervals, failures and calibration."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pipeline.blocks.plan import Block
from pipeline.config.sections import EvaluateConfig
from pipeline.dataset.index import Index
from pipeline.errors import UserError
from pipeline.evaluate.plan import plan_evaluate
from pipeline.evaluate.sources import Source, open_source
from pipeline.evaluate.spec import EvaluateSpec, Runner, in_threads
from pipeline.ground_truth.truth import GroundTruth, Overlap, ground_truth_sha256
from pipeline.results.ap import ApRow, CurveRow, ap_table, curve_table, write_results
from pipeline.results.findings import CalibrationRow, FailureRow, calibration_table, failure_table
from pipeline.workspace.layout import Workspace
from pipeline.workspace.tables import Table

if TYPE_CHECKING:
    from pipeline.evaluate.numbers import Numbers

MAX_RECORDED_IMAGES: Final = 10_000
"""Records take about 44 kB an image with 5000 candidates: 0.44 GB in all, and twice that while they are joined. Of
more images only sums are kept: the memory of this process is then the same for any number, but there are no
intervals, and exact AP is between bounds (`crface.evaluation.tally`)."""

_NAMED = 5  # images named in a note; of more, the number is said


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """The numbers of some sources, and what they were measured on."""

    rows: list[ApRow]
    curves: list[CurveRow]
    failures: list[FailureRow]
    calibration: list[CalibrationRow]
    notes: list[str]
    """Sentences on what the numbers leave out; empty if nothing."""
    truth: GroundTruth
    """With all settings that rows are about."""
    images: list[tuple[int, int]]
    """Of every image that counts: its row in the index, its place in the ground truth."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluateReport:
    """What was written, for people."""

    rows: list[ApRow]
    failures: list[FailureRow]
    calibration: list[CalibrationRow]
    notes: list[str]
    """Sentences on what the numbers leave out; empty if nothing."""


def evaluate(
    workspace: Workspace,
    index: Index,
    sources: Sequence[Source],
    config: EvaluateConfig,
    ground_truth: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
    run: Runner = in_threads,
) -> EvaluateReport:
    """Compute and write the numbers of every source, as `measure` gives them.

    Raises UserError as `measure` does, and when the results cannot be written.
    """
    parts = plan_evaluate(index, sources, config, ground_truth)
    found = measure(workspace, index, sources, config, ground_truth, progress, run)
    tables: list[tuple[Table[Any], Sequence[Any]]] = [
        (ap_table(workspace), found.rows),
        (curve_table(workspace), found.curves),
        (failure_table(workspace), found.failures),
        (calibration_table(workspace), found.calibration),
    ]
    write_results(workspace, tables, found.notes, parts)
    return EvaluateReport(
        rows=found.rows, failures=found.failures, calibration=found.calibration, notes=found.notes
    )


def measure(
    workspace: Workspace,
    index: Index,
    sources: Sequence[Source],
    config: EvaluateConfig,
    ground_truth: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
    run: Runner = in_threads,
) -> Measured:
    """Compute the numbers of every source under each of its confidences; write nothing.

    All sources are evaluated on the same images: those of the index that decode, that the ground truth knows
    and that no source failed to read. `ground_truth` is a folder of official `.mat` files, for when they are
    not in the data set. `run` spreads the blocks. `progress` is called with images done and images in all, each
    once a source; twice for more than MAX_RECORDED_IMAGES.

    Raises UserError when candidates or scores are missing or out of date, and when there is nothing to
    evaluate against.
    """
    from pipeline.evaluate.labels import open_labels  # with torch, which planning need not wait for
    from pipeline.evaluate.rows import ap_rows, calibration_rows, curve_rows, failure_rows

    sha256 = ground_truth_sha256(index, ground_truth)
    ground_truth = None if ground_truth is None else ground_truth.absolute()
    labels = open_labels(workspace, index.split, index.digest, index.labels_digest, ground_truth, sha256)
    truth, common = labels.truth, labels.common
    stores = [open_source(workspace, source, index) for source in sources]
    unreadable = {row for item in stores for row in item.unreadable}
    pairs = [pair for pair in zip(common.rows, common.images, strict=True) if pair[0] not in unreadable]
    if not pairs:
        raise UserError(f"no image of the split {index.split!r} could be read by every detector")

    is_recorded = len(pairs) <= MAX_RECORDED_IMAGES
    passes = 1 if is_recorded else 2
    done = 0

    def advance(num_images: int) -> None:
        nonlocal done
        done += num_images
        if progress is not None:
            progress(done, passes * len(stores) * len(pairs))

    rows: list[ApRow] = []
    curves: list[CurveRow] = []
    failures: list[FailureRow] = []
    calibration: list[CalibrationRow] = []
    exact_bounds = 0.0
    for item in stores:
        source = item.source
        spec = EvaluateSpec(
            workspace=workspace,
            source=source,
            config=config,
            index_digest=index.digest,
            labels_digest=index.labels_digest,
            ground_truth=ground_truth,
            ground_truth_sha256=sha256,
            is_by_height=truth.definition == "by height",
        )
        blocks = evaluation_blocks([row for row, _ in pairs], item.candidates.block_images)
        compute = _from_records if is_recorded else _from_sums
        numbers = compute(spec, blocks, run, advance)
        exact_bounds = max(exact_bounds, numbers.exact_bounds)
        rows += ap_rows(source, numbers, truth, config)
        curves += curve_rows(source, numbers, truth, config)
        failures += failure_rows(source, numbers, truth, config)
        calibration += calibration_rows(source, numbers, truth, config)
    notes = _notes(index, truth, common, [index.row(row).path for row in common.rows if row in unreadable])
    if not is_recorded and config.resamples:
        notes.append(f"no intervals: they are computed for at most {MAX_RECORDED_IMAGES} images")
    if exact_bounds:
        notes.append(f"exact AP is a lower bound, by at most {100 * exact_bounds:.2g} points too low")
    return Measured(
        rows=rows,
        curves=curves,
        failures=failures,
        calibration=calibration,
        notes=notes,
        truth=truth,
        images=pairs,
    )


def evaluation_blocks(rows: Sequence[int], block_images: int) -> list[Block]:
    """Cut ascending rows into blocks, so that a task reads one shard of a store with blocks of that size."""
    blocks = []
    for number, group in groupby(rows, key=lambda row: row // block_images):
        members = tuple(group)
        blocks.append(Block(number, members[0], members[-1] + 1, members, ()))
    return blocks


def _from_records(
    spec: EvaluateSpec, blocks: Sequence[Block], run: Runner, advance: Callable[[int], None]
) -> "Numbers":
    from pipeline.evaluate.block import Records, join_records, records_block
    from pipeline.evaluate.numbers import numbers_of_records

    parts: list[Records] = []

    def keep(part: Records) -> None:
        parts.append(part)
        advance(part.num_images)

    run(records_block, spec, blocks, keep)
    return numbers_of_records(join_records(parts), spec.config.resamples)


def _from_sums(
    spec: EvaluateSpec, blocks: Sequence[Block], run: Runner, advance: Callable[[int], None]
) -> "Numbers":
    from pipeline.evaluate.block import extremes_block, join_extremes, sums_block
    from pipeline.evaluate.numbers import numbers_of_sums

    extremes = _total(extremes_block, join_extremes, spec, blocks, run, advance).extremes
    spec = replace(spec, extremes=extremes)
    return numbers_of_sums(_total(sums_block, lambda one, other: one + other, spec, blocks, run, advance))


def _total(
    function: Callable[[EvaluateSpec, Block], Any],
    add: Callable[[Any, Any], Any],
    spec: EvaluateSpec,
    blocks: Sequence[Block],
    run: Runner,
    advance: Callable[[int], None],
) -> Any:
    """Add up parts as they come, so that no more than a few are held at a time."""
    total: Any = None

    def take(part: Any) -> None:
        nonlocal total
        total = part if total is None else add(total, part)
        advance(part.num_images)

    run(function, spec, blocks, take)
    return total


def _notes(index: Index, truth: GroundTruth, common: Overlap, unreadable: Sequence[str]) -> list[str]:
    bad = [row.path for row in index.rows(0, len(index)) if row.status in ("missing", "unreadable")]
    notes = []
    if common.num_left_out:
        notes.append(
            f"AP is over {len(common.rows)} of the {len(truth.names)} images of the ground truth; "
            f"not in the index, or not readable: {common.num_left_out}"
        )
    for paths, why in (
        (common.unlisted, "not in the ground truth"),
        (bad, "missing or damaged"),
        (unreadable, "unreadable when candidates were computed"),
    ):
        if paths:
            more = f" and {len(paths) - _NAMED} more" if len(paths) > _NAMED else ""
            number = "1 image" if len(paths) == 1 else f"{len(paths)} images"
            notes.append(f"left out: {number} {why}: {', '.join(paths[:_NAMED])}{more}")
    return notes
