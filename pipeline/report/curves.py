"""Precision-recall curves: one source under every confidence, and all sources in one chart as in Figures 6 and 7."""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Float

from pipeline.ground_truth.truth import SETTINGS
from pipeline.report.charts import Chart, Figure, Legend, Series, line_chart, stem
from pipeline.report.palette import series_style
from pipeline.report.tables import percent
from pipeline.results.ap import ApRow, CurveRow

_ROOM = 0.05
"""How far the corner of a zoomed chart lies below the curve that bends first."""

Run = tuple[str, Sequence[ApRow], Sequence[CurveRow]]
"""A name for the legend, and the rows of one source."""


def source_curves(number: int, detector: str, rows: Sequence[ApRow], curves: Sequence[CurveRow]) -> Figure:
    """The official curves of one source in each setting, over the whole range."""
    return Figure(
        stem("curves", number, detector),
        f"Precision and recall of {detector}",
        [_of_one(rows, curves, setting) for setting in SETTINGS],
    )


def joint_curves(name: str, title: str, runs: Sequence[Run]) -> Figure:
    """Predicted (dashed) and ranked (solid) of all runs in each setting, zoomed to where they differ."""
    return Figure(
        name,
        title,
        [_of_all(runs, setting) for setting in SETTINGS],
        "Dashed: the detector's own confidence. Solid: after ranking. The axes begin below the point where the lowest "
        "curve has equal precision and recall.",
    )


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


def _of_all(runs: Sequence[Run], setting: str) -> tuple[Chart, Legend]:
    series, legend = [], []
    for number, (run, rows, curves) in enumerate(runs):
        ap = _ap(rows, setting)
        own = [c for c in _official(curves, setting) if c.confidence in ("predicted", "ranked")]
        for curve in own:
            is_plain = curve.confidence == "predicted" and len(own) > 1
            style = f"s{number % 6} dashed" if is_plain else series_style(number)
            name = f"{run}, {curve.confidence}"
            series.append(Series(name, style, *_points(curve)))
            legend.append((style, name, percent(ap.get((curve.confidence, curve.candidates), math.nan))))
    corner = zoomed_corner([(line.x, line.y) for line in series])
    series = [_within(line, corner) for line in series]
    return line_chart(setting, "recall", "precision", series, (corner, 1.0), (corner, 1.0)), legend


def zoomed_corner(
    curves: Sequence[tuple[Float[np.ndarray, " point"], Float[np.ndarray, " point"]]],
) -> float:
    """Where both axes begin so that every curve's bend is seen: a multiple of 0.1, at most 0.9; 0 for no curve."""
    bends = [float(np.minimum(recall, precision).max(initial=0.0)) for recall, precision in curves]
    return min(0.9, max(0.0, math.floor(10 * (min(bends, default=0.0) - _ROOM) + 1e-9) / 10))


def _within(line: Series, corner: float) -> Series:
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
