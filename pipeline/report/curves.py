"""Precision-recall curves: one source under every confidence, and all sources in one chart as in Figures 6 and 7."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from jaxtyping import Float

from pipeline.ground_truth.truth import SETTINGS
from pipeline.report.chart_model import Chart, Figure, Legend, Series, stem
from pipeline.report.charts import line_chart
from pipeline.report.palette import NUM_SERIES, series_style
from pipeline.report.tables import percent
from pipeline.results.ap import ApRow, CurveRow
from pipeline.results.protocol_curves import LineCurve

_ROOM = 0.05
"""How far the corner of a zoomed chart lies below the curve that bends first."""

MOST_RUNS: Final = 11
"""Runs in one chart: more lines are not told apart."""

_PREDICTED = "s5 dashed"

Run = tuple[str, Sequence[ApRow], Sequence[CurveRow]]
"""A name for the legend, and the rows of one source."""


@dataclass(frozen=True, slots=True)
class Line:
    """A curve and how a chart has it."""

    label: str
    style: str
    curve: CurveRow
    rows: Sequence[ApRow]
    """The rows that have its AP."""


def source_curves(number: int, detector: str, rows: Sequence[ApRow], curves: Sequence[CurveRow]) -> Figure:
    """The official curves of one source in each setting, over the whole range."""
    return Figure(
        stem("curves", number, detector),
        f"Precision and recall of {detector}",
        [_of_one(rows, curves, setting) for setting in SETTINGS],
    )


def joint_curves(name: str, title: str, runs: Sequence[Run]) -> Figure:
    """Predicted (dashed) and ranked (solid) of all runs in each setting, zoomed to where they differ."""
    lines = []
    for number, (run, rows, curves) in enumerate(runs):
        is_ranked = any(curve.confidence == "ranked" for curve in curves)
        for curve in curves:
            if curve.confidence != "oracle":
                is_plain = is_ranked and curve.confidence == "predicted"
                style = f"s{number % NUM_SERIES} dashed" if is_plain else series_style(number)
                lines.append(Line(f"{run}, {curve.confidence}", style, curve, rows))
    return Figure(
        name,
        title,
        [_zoomed(lines, setting) for setting in SETTINGS],
        "Dashed: the detector's own confidence. Solid: after ranking. The axes begin below the point where the lowest "
        "curve has equal precision and recall.",
    )


def runs_curves(name: str, title: str, runs: Sequence[Run]) -> Figure:
    """One detector's ranked curves of several runs, and predicted once for the same candidates, zoomed likewise.

    Only the first MOST_RUNS are drawn, and the caption says so.
    """
    drawn = runs[:MOST_RUNS]
    owners = [{curve.fingerprint for curve in curves} for _, _, curves in drawn]
    seen: set[str] = set()
    lines = []
    for number, (run, rows, curves) in enumerate(drawn):
        for curve in curves:
            if curve.confidence == "ranked":
                lines.append(Line(run, series_style(number), curve, rows))
            elif curve.confidence == "predicted" and curve.fingerprint not in seen:
                is_shared = sum(curve.fingerprint in owner for owner in owners) > 1
                label = "predicted" if is_shared else f"{run}, predicted"
                lines.append(Line(label, _PREDICTED, curve, rows))
        seen |= owners[number]
    left_out = f" Only the first {MOST_RUNS} of {len(runs)} runs are drawn." if len(runs) > MOST_RUNS else ""
    caption = f"Solid: after ranking. Grey and dashed: the detector's own confidence.{left_out}"
    return Figure(name, title, [_zoomed(lines, setting) for setting in SETTINGS], caption)


def protocol_curves(curves: Sequence[LineCurve]) -> list[Figure]:
    """For each detector and split that was compared, the curves of its protocols and rankers, zoomed likewise."""
    figures = []
    groups = dict.fromkeys((curve.detector, curve.split) for curve in curves)
    for number, (detector, split) in enumerate(groups, 1):
        own = [curve for curve in curves if (curve.detector, curve.split) == (detector, split)]
        lines = list(dict.fromkeys(curve.line for curve in own))
        panels = []
        for setting in SETTINGS:
            drawn = [curve for curve in own if curve.setting == setting]
            styles = [series_style(lines.index(curve.line)) for curve in drawn]
            panels.append(
                _panel(setting, [(c.line, style, c, c.ap) for c, style in zip(drawn, styles, strict=True)])
            )
        title = f"{detector} on {split}"
        figures.append(
            Figure(stem("curves-protocols", number, title), f"Precision and recall of {title}", panels)
        )
    return figures


def _of_one(rows: Sequence[ApRow], curves: Sequence[CurveRow], setting: str) -> tuple[Chart, Legend]:
    ap = _ap(rows, setting)
    series, legend = [], []
    for curve in _official(curves, setting):
        is_bound = curve.confidence == "oracle" and curve.is_all
        style: str = "bound" if is_bound else curve.confidence
        name = f"{curve.confidence}, all candidates" if is_bound else curve.confidence
        series.append(Series(name, style, *_points(curve)))
        legend.append((style, name, percent(ap.get((curve.confidence, curve.candidates), math.nan))))
    return line_chart(setting, "recall", "precision", series, (0.0, 1.0), (0.0, 1.0)), legend


def _zoomed(lines: Sequence[Line], setting: str) -> tuple[Chart, Legend]:
    """The official curves of one setting, where they bend."""
    own = [line for line in lines if (line.curve.setting, line.curve.kind) == (setting, "official")]
    return _panel(
        setting,
        [
            (line.label, line.style, line.curve, _ap(line.rows, setting).get(_variant(line.curve), math.nan))
            for line in own
        ],
    )


def _panel(setting: str, curves: Sequence[tuple[str, str, CurveRow, float]]) -> tuple[Chart, Legend]:
    """Curves with their labels, styles and APs, where they bend."""
    series = [Series(label, style, *_points(curve)) for label, style, curve, _ in curves]
    legend = [(style, label, percent(ap)) for label, style, _, ap in curves]
    corner = zoomed_corner([(item.x, item.y) for item in series])
    shown = [within(item, corner) for item in series]
    return line_chart(setting, "recall", "precision", shown, (corner, 1.0), (corner, 1.0)), legend


def _variant(curve: CurveRow) -> tuple[str, str]:
    return curve.confidence, curve.candidates


def zoomed_corner(
    curves: Sequence[tuple[Float[np.ndarray, " point"], Float[np.ndarray, " point"]]],
) -> float:
    """Where both axes begin so that every curve's bend is seen: a multiple of 0.1, at most 0.9; 0 for no curve."""
    bends = [float(np.minimum(recall, precision).max(initial=0.0)) for recall, precision in curves]
    return min(0.9, max(0.0, math.floor(10 * (min(bends, default=0.0) - _ROOM) + 1e-9) / 10))


def within(line: Series, corner: float) -> Series:
    """The part of a line that a zoomed chart shows, and one point beyond each end of it."""
    is_inside = (line.x >= corner) & (line.y >= corner)
    is_next = np.append(is_inside[1:], [False]) | np.append([False], is_inside[:-1])
    is_shown = is_inside | is_next
    return replace(line, x=line.x[is_shown], y=line.y[is_shown])


def _official(curves: Sequence[CurveRow], setting: str) -> list[CurveRow]:
    return [curve for curve in curves if curve.setting == setting and curve.kind == "official"]


def _points(curve: CurveRow) -> tuple[Float[np.ndarray, " point"], Float[np.ndarray, " point"]]:
    """Recall and precision; thresholds above every score propose nothing, and have no precision to speak of."""
    proposes = np.asarray((curve.precision > 0) | (curve.recall > 0))
    return curve.recall[proposes], curve.precision[proposes]


def _ap(rows: Sequence[ApRow], setting: str) -> dict[tuple[str, str], float]:
    return {
        (row.confidence, row.candidates): row.ap
        for row in rows
        if row.setting == setting and row.kind == "official"
    }
