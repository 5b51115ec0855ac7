"""The page's tables beside AP: intervals, face heights, failures, calibration."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from pipeline.ground_truth.face_groups import HEIGHTS
from pipeline.ground_truth.truth import SETTINGS
from pipeline.report.chart_model import Chart, Series
from pipeline.report.charts import line_chart
from pipeline.report.tables import NONE, percent, points, share
from pipeline.results.ap import ApRow, Confidence
from pipeline.results.findings import CalibrationRow, FailureRow

_TARGETS = {"hit": "share of boxes that are right", "overlap": "mean IoU with the closest face"}

Row = TypeVar("Row", ApRow, FailureRow, CalibrationRow)


@dataclass(frozen=True, slots=True)
class IntervalLine:
    """AP of one confidence, or a gain, with its interval in each setting."""

    name: str
    cells: list[tuple[str, str]]
    """The number; the interval, with a verdict for a gain."""


@dataclass(frozen=True, slots=True)
class HeightLine:
    """AP on the faces of one bin of heights."""

    name: str
    faces: int
    cells: list[tuple[str, str]]
    """Official and exact, per confidence."""


@dataclass(frozen=True, slots=True)
class GroupLine:
    """What became of the faces of one group."""

    group: str
    value: str
    faces: int
    unreachable: int
    cells: list[tuple[int, str]]
    """Per confidence: the missed faces, and what share of them is fixable."""


@dataclass(frozen=True, slots=True)
class MistakeLine:
    """The operating point of one confidence, and its false positives."""

    confidence: str
    threshold: str
    precision: str
    recall: str
    counts: list[str]
    """Detections, duplicates, misplaced, background."""


@dataclass(frozen=True, slots=True)
class OrderLine:
    """Calibration errors and rank correlation of one confidence."""

    confidence: str
    numbers: list[str]
    """ECE against hits and against overlap, Kendall, Spearman."""
    images: int


@dataclass(frozen=True, slots=True)
class Findings:
    """All of one source."""

    settings: list[str]
    intervals: list[IntervalLine]
    """Empty without resamples."""
    confidences: list[str]
    """The columns of `heights`."""
    heights: list[HeightLine]
    """Bins that have faces."""
    failing: list[str]
    """The confidences of `groups`' columns."""
    failing_setting: str
    groups: list[GroupLine]
    mistakes: list[MistakeLine]
    reliability: list[tuple[Chart, list[tuple[str, str, str]]]]
    """Each with its legend: style, name, ECE."""
    order: list[OrderLine]


def findings(
    rows: Sequence[ApRow], failures: Sequence[FailureRow], calibration: Sequence[CalibrationRow]
) -> Findings:
    """The rows of one source, laid out for the page."""
    whole = [row for row in failures if row.group == "all"]
    official = [row for row in rows if row.kind == "official"]
    columns = list(dict.fromkeys((row.confidence, row.candidates) for row in official))
    return Findings(
        settings=list(SETTINGS),
        intervals=_intervals(official),
        confidences=[f"{name}, all" if candidates == "all" else name for name, candidates in columns],
        heights=[line for setting in HEIGHTS if (line := _height_line(rows, setting, columns)) is not None],
        failing=[row.confidence for row in whole],
        failing_setting=whole[0].setting if whole else "",
        groups=_groups(failures, whole),
        mistakes=[_mistakes(row) for row in whole],
        reliability=[_diagram(calibration, target) for target in _TARGETS],
        order=[_order(row, calibration) for row in calibration if row.target == "hit"],
    )


def _intervals(official: Sequence[ApRow]) -> list[IntervalLine]:
    has_interval = [row for row in official if row.setting in SETTINGS and row.ap_low == row.ap_low]
    lines = []
    for confidence in dict.fromkeys(row.confidence for row in has_interval):
        own = _by_setting([row for row in has_interval if row.confidence == confidence])
        cells = [(percent(row.ap), f"{percent(row.ap_low)} to {percent(row.ap_high)}") for row in own]
        lines.append(IntervalLine(confidence, cells))
    for confidence in dict.fromkeys(row.confidence for row in has_interval if row.gain_low == row.gain_low):
        own = _by_setting([row for row in has_interval if row.confidence == confidence])
        gains = [
            (
                points(row.gain),
                f"{points(row.gain_low)} to {points(row.gain_high)}, "
                + ("real" if row.is_gain_real else "not told from chance"),
            )
            for row in own
        ]
        lines.append(IntervalLine(f"{confidence} minus predicted, points", gains))
    return lines


def _by_setting(rows: Sequence[ApRow]) -> list[ApRow]:
    return sorted(rows, key=lambda row: SETTINGS.index(row.setting))


def _height_line(
    rows: Sequence[ApRow], setting: str, columns: Sequence[tuple[Confidence, str]]
) -> HeightLine | None:
    ap = {(row.confidence, row.candidates, row.kind): row for row in rows if row.setting == setting}
    first = next(iter(ap.values()), None)
    if first is None or not first.faces:
        return None
    cells = [(percent(ap[*key, "official"].ap), percent(ap[*key, "exact"].ap)) for key in columns]
    return HeightLine(setting, first.faces, cells)


def _groups(failures: Sequence[FailureRow], whole: Sequence[FailureRow]) -> list[GroupLine]:
    found = {(row.group, row.value, row.confidence): row for row in failures}
    lines = []
    for group, value in dict.fromkeys((row.group, row.value) for row in failures):
        own = [found[group, value, row.confidence] for row in whole]
        cells = [(row.missed, share(row.fixable / row.missed) if row.missed else NONE) for row in own]
        lines.append(GroupLine(group, value, own[0].faces, own[0].unreachable, cells))
    return lines


def _mistakes(row: FailureRow) -> MistakeLine:
    counts = (row.detections, row.duplicates, row.misplaced, row.background)
    threshold = NONE if row.threshold != row.threshold else f"{row.threshold:.3f}"
    return MistakeLine(
        row.confidence, threshold, percent(row.precision), percent(row.recall), [f"{n:,}" for n in counts]
    )


def _diagram(calibration: Sequence[CalibrationRow], target: str) -> tuple[Chart, list[tuple[str, str, str]]]:
    ends = np.array([0.0, 1.0])
    series, legend = [Series("as it should be", "bound", ends, ends)], [("bound", "as it should be", "")]
    for row in (row for row in calibration if row.target == target):
        filled = row.count > 0
        series.append(
            Series(row.confidence, row.confidence, row.mean_confidence[filled], row.mean_target[filled])
        )
        legend.append((row.confidence, row.confidence, f"ECE {percent(row.expected_error)} %"))
    title = "is it right?" if target == "hit" else "how well is it placed?"
    return line_chart(title, "confidence", _TARGETS[target], series, (0.0, 1.0), (0.0, 1.0)), legend


def _order(row: CalibrationRow, calibration: Sequence[CalibrationRow]) -> OrderLine:
    overlap = next(o for o in calibration if (o.confidence, o.target) == (row.confidence, "overlap"))
    values = (row.expected_error, overlap.expected_error, row.kendall, row.spearman)
    return OrderLine(row.confidence, [NONE if v != v else f"{v:.3f}" for v in values], row.ordered_images)
