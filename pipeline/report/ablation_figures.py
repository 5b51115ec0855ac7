"""Figures of the ablations: curves of each loss or number of pairs, their distributions, the order they keep."""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float

from pipeline.ground_truth.truth import SETTINGS
from pipeline.report.chart_model import Chart, Figure, Legend, Series, stem
from pipeline.report.charts import line_chart
from pipeline.report.curves import within, zoomed_corner
from pipeline.report.order_panels import CAPTION, OrderLine, order_panels
from pipeline.report.palette import series_style
from pipeline.report.paper_tables import setting_label
from pipeline.report.tables import percent
from pipeline.results.ablation import SweepRow
from pipeline.results.ablation_figures import AblationFigure, SweepFigure
from pipeline.results.paper import BASELINE

_TITLES = {"losses": "each loss", "pairs": "each number of pairs"}
_Curve = tuple[Float[np.ndarray, " threshold"], Float[np.ndarray, " threshold"]]


def ablation_figures(
    figures: Mapping[str, Sequence[SweepFigure]], rows: Mapping[str, Sequence[SweepRow]]
) -> list[Figure]:
    """Two figures for each detector of each sweep that left some: curves, and distributions with the order kept."""
    found = []
    for sweep, items in figures.items():
        for number, detector in enumerate(dict.fromkeys(item.row.detector for item in items), 1):
            own = [item for item in items if item.row.detector == detector]
            title = f"{detector} with {_TITLES[sweep]}"
            found += [
                Figure(
                    stem(f"ablation-{sweep}-curves", number, detector),
                    f"Precision and recall of {title}",
                    [_curves(own, rows.get(sweep, ()), setting) for setting in SETTINGS],
                    "The sweep's first seed, with its AP. The axes begin below the point where the lowest curve has "
                    "equal precision and recall.",
                ),
                Figure(
                    stem(f"ablation-{sweep}-confidences", number, detector),
                    f"Confidences of {title}",
                    order_panels([_line(item, place) for place, item in enumerate(own)]),
                    f"The sweep's first seed. {CAPTION}",
                ),
            ]
    return found


def _curves(items: Sequence[SweepFigure], rows: Sequence[SweepRow], setting: str) -> tuple[Chart, Legend]:
    series, legend = [], []
    for place, item in enumerate(items):
        if item.row.confidence != "oracle":
            name, style = _named(item, place)
            recall, precision = _curve(item.row, setting)
            proposes = (precision > 0) | (recall > 0)
            series.append(Series(name, style, recall[proposes], precision[proposes]))
            legend.append((style, name, percent(_ap(item, rows, setting))))
    corner = zoomed_corner([(line.x, line.y) for line in series])
    shown = [within(line, corner) for line in series]
    return line_chart(setting, "recall", "precision", shown, (corner, 1.0), (corner, 1.0)), legend


def _ap(item: SweepFigure, rows: Sequence[SweepRow], setting: str) -> float:
    """The AP of the curve: of the sweep's first seed."""
    key = (item.setting, item.row.detector, item.row.confidence)
    own = [row for row in rows if (row.setting, row.row.detector, row.row.confidence) == key]
    return float(getattr(own[0].row, f"ap_{setting}")) if own else float("nan")


def _line(item: SweepFigure, place: int) -> OrderLine:
    name, style = _named(item, place)
    return OrderLine(name, style, item.row.share, item.row.overlap, item.row.kendall)


def _named(item: SweepFigure, place: int) -> tuple[str, str]:
    """The name and style of a line; `place` counts the detector's own predicted and oracle confidence too."""
    if item.setting == BASELINE:
        return item.row.confidence, item.row.confidence
    return setting_label(item.setting), series_style(place - 1)


def _curve(row: AblationFigure, setting: str) -> _Curve:
    return getattr(row, f"recall_{setting}"), getattr(row, f"precision_{setting}")
