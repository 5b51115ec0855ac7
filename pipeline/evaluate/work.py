"""The evaluate stage: from stored candidates and scores to AP, its intervals, failures and calibration."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final

from pipeline.blocks.plan import Block
from pipeline.errors import UserError
from pipeline.evaluate.label_source import label_source
from pipeline.evaluate.notes import Note, image_notes, number_notes, trust_notes
from pipeline.evaluate.plan import EvaluationInput, plan_evaluate
from pipeline.evaluate.sources import open_source
from pipeline.evaluate.spec import EvaluateSpec, Runner, in_threads
from pipeline.ground_truth.truth import GroundTruth
from pipeline.results.ap import ApRow, CurveRow, ap_table, curve_table, write_results
from pipeline.results.findings import CalibrationRow, FailureRow, calibration_table, failure_table
from pipeline.workspace.tables import Table

if TYPE_CHECKING:
    from pipeline.evaluate.numbers import Numbers

Progress = Callable[[int, int], None]
"""Called with images done and images in all."""

MAX_RECORDED_IMAGES: Final = 10_000
"""Records take about 44 kB per image with 5000 candidates: 0.44 GB in all, and twice that while they are joined. For
more images only sums are kept: this process then needs the same memory for any number, but there are no
intervals, and exact AP is known within bounds (`crface.evaluation.tally`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """The numbers of all sources, and what they were measured on."""

    rows: list[ApRow]
    curves: list[CurveRow]
    failures: list[FailureRow]
    calibration: list[CalibrationRow]
    notes: list[Note]
    """What the numbers leave out; empty if nothing."""
    truth: GroundTruth
    """The ground truth, with all settings that the rows are about."""
    images: list[tuple[int, int]]
    """The row in the index, and the place in the ground truth, of every image that counts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluateReport:
    """What was written, for printing."""

    rows: list[ApRow]
    failures: list[FailureRow]
    calibration: list[CalibrationRow]
    notes: list[str]
    """Sentences about what the numbers leave out; empty if nothing."""


def evaluate(
    evaluation: EvaluationInput, progress: Progress | None = None, run: Runner = in_threads
) -> EvaluateReport:
    """Compute and write the numbers of every source, as `measure` does.

    Raises UserError as `measure` does, and when the results cannot be written.
    """
    parts = plan_evaluate(evaluation)
    found = measure(evaluation, progress, run)
    workspace, notes = evaluation.workspace, [note.text for note in found.notes]
    tables: list[tuple[Table[Any], Sequence[Any]]] = [
        (ap_table(workspace), found.rows),
        (curve_table(workspace), found.curves),
        (failure_table(workspace), found.failures),
        (calibration_table(workspace), found.calibration),
    ]
    write_results(workspace, tables, notes, parts)
    return EvaluateReport(
        rows=found.rows, failures=found.failures, calibration=found.calibration, notes=notes
    )


def measure(
    evaluation: EvaluationInput, progress: Progress | None = None, run: Runner = in_threads
) -> Measured:
    """The numbers of every source under each of its confidences; nothing is written.

    All sources are evaluated on the same images: those of the index that decode, that the ground truth knows
    and that no source failed to read. `run` spreads the blocks. `progress` is called with images done and images
    in all, each once a source; twice for more than MAX_RECORDED_IMAGES.

    Raises UserError when candidates or scores are missing or out of date, and when there is nothing to
    evaluate against.
    """
    from pipeline.evaluate.labels import open_labels  # with torch, which planning need not wait for
    from pipeline.evaluate.rows import ap_rows, calibration_rows, curve_rows, failure_rows

    index, config = evaluation.index, evaluation.config
    source = label_source(evaluation.workspace, index, evaluation.ground_truth)
    labels = open_labels(source)
    truth, common = labels.truth, labels.common
    stores = [open_source(evaluation.workspace, source, index, config) for source in evaluation.sources]
    unreadable = {row for item in stores for row in item.unreadable}
    images = [pair for pair in zip(common.rows, common.images, strict=True) if pair[0] not in unreadable]
    if not images:
        raise UserError(f"no image of the split {index.split!r} could be read by every detector")

    is_recorded = len(images) <= MAX_RECORDED_IMAGES
    compute, passes = (_from_records, 1) if is_recorded else (_from_sums, 2)
    counter = _Counter(passes * len(stores) * len(images), progress)
    rows = [row for row, _ in images]
    numbers = [
        compute(
            EvaluateSpec(
                source=item.source, config=config, labels=source, is_by_height=truth.definition == "by height"
            ),
            evaluation_blocks(rows, item.candidates.block_images),
            run,
            counter.advance,
        )
        for item in stores
    ]
    of_sources = list(zip(evaluation.sources, numbers, strict=True))
    return Measured(
        rows=[row for each in of_sources for row in ap_rows(*each, truth, config)],
        curves=[row for each in of_sources for row in curve_rows(*each, truth, config)],
        failures=[row for each in of_sources for row in failure_rows(*each, truth, config)],
        calibration=[row for each in of_sources for row in calibration_rows(*each, truth, config)],
        notes=[
            *image_notes(
                index, truth, common, [index.row(row).path for row in common.rows if row in unreadable]
            ),
            *number_notes(
                MAX_RECORDED_IMAGES,
                has_intervals=is_recorded or not config.resamples,
                exact_bounds=max((found.exact_bounds for found in numbers), default=0.0),
            ),
            *trust_notes(evaluation.workspace, evaluation.sources),
        ],
        truth=truth,
        images=images,
    )


def evaluation_blocks(rows: Sequence[int], block_images: int) -> list[Block]:
    """Ascending rows cut into blocks, so that a task reads one shard of a store with blocks of that size."""
    blocks = []
    for number, group in groupby(rows, key=lambda row: row // block_images):
        members = tuple(group)
        blocks.append(Block(number, members[0], members[-1] + 1, members, ()))
    return blocks


class _Counter:
    """Counts images of all sources, and says after each block how many of all are done."""

    def __init__(self, total: int, progress: Progress | None) -> None:
        self._done, self._total, self._progress = 0, total, progress

    def advance(self, num_images: int) -> None:
        self._done += num_images
        if self._progress is not None:
            self._progress(self._done, self._total)


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
    """The sum of all parts, added up as they arrive, so that only a few are held at a time."""
    total: Any = None

    def take(part: Any) -> None:
        nonlocal total
        total = part if total is None else add(total, part)
        advance(part.num_images)

    run(function, spec, blocks, take)
    return total
