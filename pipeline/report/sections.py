"""What the page says about each source: its tables, curves, findings, training, and how to repeat it."""

from collections.abc import Iterator
from dataclasses import dataclass

from pipeline.errors import UserError
from pipeline.evaluate.plan import EvaluationInput
from pipeline.evaluate.sources import Source
from pipeline.ground_truth.truth import GroundTruth
from pipeline.report.chart_model import Figure, stem
from pipeline.report.confidences import confidence_figure
from pipeline.report.curves import source_curves
from pipeline.report.facts import Facts, identity_facts, training_figure, work_facts
from pipeline.report.findings import Findings, findings
from pipeline.report.tables import Table, ap_tables
from pipeline.results.ap import ApRow, CurveRow, Origin, read_ap, read_curves
from pipeline.results.findings import CalibrationRow, FailureRow, read_calibration, read_failures


@dataclass(frozen=True, slots=True)
class Section:
    """One source."""

    rows: list[ApRow]
    curve_rows: list[CurveRow]
    table: Table
    curves: Figure
    confidences: Figure | None
    findings: Findings
    calibration: Figure
    training: Figure | None
    """The same for all sources that one ranker was applied to."""
    work: Facts
    identity: Facts

    @property
    def figures(self) -> Iterator[Figure]:
        """All figures that there are."""
        for figure in (self.curves, self.confidences, self.calibration, self.training):
            if figure is not None:
                yield figure


@dataclass(frozen=True, slots=True)
class _Numbers:
    """All tables of the evaluation's results."""

    rows: list[ApRow]
    curves: list[CurveRow]
    failures: list[FailureRow]
    calibration: list[CalibrationRow]


def all_sections(evaluation: EvaluationInput, truth: GroundTruth) -> list[Section]:
    """A section for each source, in their order.

    Raises UserError when results are missing or damaged, or are not those of a source.
    """
    workspace = evaluation.workspace
    numbers = _Numbers(
        read_ap(workspace), read_curves(workspace), read_failures(workspace), read_calibration(workspace)
    )
    return [
        _section(evaluation, source, number, truth, numbers)
        for number, source in enumerate(evaluation.sources, 1)
    ]


def _section(
    evaluation: EvaluationInput, source: Source, number: int, truth: GroundTruth, numbers: _Numbers
) -> Section:
    workspace, index, detector = evaluation.workspace, evaluation.index, source.key.detector
    rows = [row for row in numbers.rows if _is_of(row, source)]
    curves = [curve for curve in numbers.curves if _is_of(curve, source)]
    if not rows:
        raise UserError(
            f"the results in {workspace.results} are not those of {detector} under this configuration: "
            "run `crface evaluate` first"
        )
    (table,) = ap_tables(rows)
    found = findings(
        rows,
        [row for row in numbers.failures if _is_of(row, source)],
        [row for row in numbers.calibration if _is_of(row, source)],
    )
    calibration = stem("calibration", number, detector)
    return Section(
        rows=rows,
        curve_rows=curves,
        table=table,
        curves=source_curves(number, detector, rows, curves),
        confidences=confidence_figure(workspace, index, source, truth, evaluation.config, number),
        findings=found,
        calibration=Figure(calibration, f"Calibration of {detector}", found.reliability),
        training=training_figure(workspace, source.training) if source.training else None,
        work=work_facts(workspace, source),
        identity=identity_facts(index, truth, source),
    )


def _is_of(row: Origin, source: Source) -> bool:
    key = source.key
    return (row.split, row.detector, row.protocol, row.fingerprint) == (
        key.split,
        key.detector,
        key.protocol,
        key.fingerprint,
    ) and row.ranker in ("", source.ranker)
