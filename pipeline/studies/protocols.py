"""Protocols and rankers over the same images: the lines of the paper's Tables 3 and 4, AP beside milliseconds."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Final, Literal

from pipeline.config.sections import RunConfig
from pipeline.dataset.index import Index
from pipeline.evaluate.plan import EvaluationInput, plan_evaluate
from pipeline.evaluate.sources import Source
from pipeline.evaluate.work import Measured
from pipeline.ground_truth.truth import SETTINGS
from pipeline.rank.plan import RankPlan
from pipeline.results.ap import ApRow, CurveRow
from pipeline.results.protocol_curves import LineCurve, write_line_curves
from pipeline.results.protocols import ComparisonRow, line_name, ranker_name, write_comparison
from pipeline.results.timings import TimingRow
from pipeline.workspace.fingerprint import Parts
from pipeline.workspace.layout import Workspace
from pipeline.workspace.place import Place

COMPARISON_VERSION: Final = 2
"""Raised when this module changes in a way that changes its numbers."""


@dataclass(frozen=True, slots=True)
class RankerUsed:
    """A trained ranker, and what it was trained on."""

    file: Place
    trained_on: int
    """How many images; 0 where that is not known."""
    protocol: str = ""
    """The protocol whose candidates it was trained on, as `CandidateKey` names it; empty for the run's own ranker."""

    @property
    def name(self) -> str:
        """What it is called in the table: `rank`, `rank-8k`."""
        return ranker_name(self.protocol)


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line of the table: a detector's candidates under a protocol, and whose confidences they have."""

    detector: str
    """As `detectors.create` takes it."""
    protocol: str
    """As the configuration names it."""
    source: Source
    """The candidates; says nothing of a ranker."""
    ranker: RankerUsed | None = None
    """None: the detector's own confidences."""
    ranking: RankPlan | None = None
    """Where the ranker's are stored."""

    @property
    def name(self) -> str:
        """The line's heading: `multi`, `single, rank`, `8k, rank-8k`."""
        return line_name(self.source.key.protocol, self.ranker.name if self.ranker else "")

    @property
    def evaluated(self) -> Source:
        """The candidates with the line's ranker."""
        return self.source if self.ranking is None else replace(self.source, ranker=self.ranking.spec.ranker)


Timings = Mapping[tuple[str, str], Sequence[TimingRow]]
"""The parts of an image's time, by detector and protocol as the configuration names them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Lines to compare, and the images that they are compared on."""

    workspace: Workspace
    """Where the candidates and scores of these images are stored."""
    index: Index
    """The images compared: a split, or some of its images."""
    lines: Sequence[Line]
    config: RunConfig
    num_split_images: int
    """How many images the split has."""
    ground_truth: Path | None = None

    @property
    def evaluation(self) -> EvaluationInput:
        """What is evaluated to fill all lines."""
        with_rankers = {line.source.key for line in self.lines if line.ranker is not None}
        # a source with a ranker has the detector's own confidences beside it
        sources = [
            line.evaluated for line in self.lines if line.ranker or line.source.key not in with_rankers
        ]
        return EvaluationInput(
            workspace=self.workspace,
            index=self.index,
            sources=sources,
            config=self.config.evaluate,
            ground_truth=self.ground_truth,
        )


def plan_comparison(comparison: Comparison) -> Parts:
    """All that decides the table but the machine, found without reading candidates.

    Raises UserError as `plan_evaluate` does.
    """
    parts = plan_evaluate(replace(comparison.evaluation, sources=()))
    return {
        **parts,
        "stage": "compare protocols",
        "comparison version": COMPARISON_VERSION,
        "timed images": comparison.config.comparison.timed_images,
        "sources": {
            f"{number} {line.source.key.detector} {line.name}": {
                "candidates": line.source.key.fingerprint,
                "ranker": line.evaluated.ranker,
                "trained on": line.ranker.trained_on if line.ranker else 0,
            }
            for number, line in enumerate(comparison.lines)
        },
    }


def time_lines(
    comparison: Comparison, progress: Callable[[int, int], None] = lambda done, total: None
) -> Timings:
    """The times of each detector under each protocol, in this process, on some of the images, after one to warm up.

    A ranker is timed with them where a line has one: those of one network take the same time.

    Raises as `pipeline.bench.timings.time_images` does.
    """
    from pipeline.bench.timings import Timed, time_images

    protocols: dict[str, dict[str, Place | None]] = {}
    for line in comparison.lines:  # the last ranker of each, if any
        protocols.setdefault(line.detector, {})[line.protocol] = line.ranker.file if line.ranker else None
    config = comparison.config
    timed = Timed(
        index=comparison.index,
        protocols=protocols,
        num_images=config.comparison.timed_images,
        warm_up=1,
    )
    return time_images(timed, config.cache, config.evaluate, progress)


def plan_comparisons(comparisons: Sequence[Comparison]) -> Parts:
    """All that decides the table of one comparison or of several, each over images of another split.

    Raises UserError as `plan_evaluate` does.
    """
    if len(comparisons) == 1:
        return plan_comparison(comparisons[0])
    return {
        "stage": "compare protocols",
        "splits": {one.index.split: plan_comparison(one) for one in comparisons},
    }


def compare(
    results: Workspace,
    comparisons: Sequence[Comparison],
    timings: Sequence[Timings],
    measured: Sequence[Measured],
) -> None:
    """Write the table of all comparisons into `results`, before it the curves of their lines.

    `timings` and `measured`, of its `evaluation`, are of each comparison.

    Raises UserError when a table cannot be written.
    """
    rows, curves, notes = list[ComparisonRow](), list[LineCurve](), list[str]()
    for comparison, timed, found in zip(comparisons, timings, measured, strict=True):
        rows += _rows(comparison, timed, found.rows)
        curves += _curves(comparison, found)
        # the table itself says how many of the split's images are compared
        notes += [note.text for note in found.notes if note.about != "coverage"]
    write_line_curves(results, curves)
    write_comparison(results, rows, list(dict.fromkeys(notes)), plan_comparisons(comparisons))


def _rows(comparison: Comparison, timings: Timings, measured: Sequence[ApRow]) -> Iterator[ComparisonRow]:
    numbers = {
        (row.fingerprint, row.ranker, row.confidence, row.setting): row
        for row in measured
        if row.kind == "official" and not row.is_all
    }
    for line in comparison.lines:
        confidence = _confidence(line)
        parts = {row.part: row for row in timings[line.detector, line.protocol]}
        timed = parts["all but the ranker" if line.ranker is None else "all"]
        for setting in SETTINGS:
            candidates = line.source.key.fingerprint
            row = numbers[candidates, line.evaluated.ranker, confidence, setting]
            yield ComparisonRow(
                **asdict(row),
                line=line.name,
                trained_on=line.ranker.trained_on if line.ranker else 0,
                split_images=comparison.num_split_images,
                oracle_ap=numbers[candidates, "", "oracle", setting].ap,
                median_ms=timed.median_ms,
                timed_images=timed.images,
                device=timed.device,
                threads=timed.threads,
            )


def _curves(comparison: Comparison, measured: Measured) -> Iterator[LineCurve]:
    def key(row: ApRow | CurveRow) -> tuple[str, str, str, str]:
        return row.fingerprint, row.ranker, row.confidence, row.setting

    ap = {key(row): row.ap for row in measured.rows if row.kind == "official" and not row.is_all}
    curves = {key(row): row for row in measured.curves if row.kind == "official" and not row.is_all}
    for line in comparison.lines:
        for setting in SETTINGS:
            found = (line.source.key.fingerprint, line.evaluated.ranker, _confidence(line), setting)
            curve = curves[found]
            yield LineCurve(
                **{item.name: getattr(curve, item.name) for item in fields(curve)},
                line=line.name,
                ap=ap[found],
            )


def _confidence(line: Line) -> Literal["predicted", "ranked"]:
    return "predicted" if line.ranker is None else "ranked"
