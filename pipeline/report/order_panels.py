"""Two charts side by side: how confidences are distributed, and how far they keep the oracle's order (Figure 4)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Float

from crface.evaluation.order import PLACES
from pipeline.report.chart_model import Chart, Legend, Series
from pipeline.report.charts import line_chart

CAPTION: Final = (
    "Left: the share of boxes at each confidence. Right: each image's boxes in the order of a confidence, best "
    "first, and the mean overlap with a face of those taken so far: the nearer to the oracle's line, the better its "
    "order is kept; with Kendall's tau."
)

_LOWEST = -4.0  # of the axis of shares, a logarithm: fewer than one box in ten thousand is drawn as none
_SHARES = [(-4.0, "0.01 %"), (-3.0, "0.1 %"), (-2.0, "1 %"), (-1.0, "10 %"), (0.0, "100 %")]


@dataclass(frozen=True, slots=True, eq=False)
class OrderLine:
    """One confidence in both charts."""

    name: str
    style: str
    share: Float[np.ndarray, " bin"]
    overlap: Float[np.ndarray, " place"]
    kendall: float


def order_panels(lines: Sequence[OrderLine]) -> list[tuple[Chart, Legend]]:
    """The two charts with their legends."""
    return [_distribution(lines), _order(lines)]


def _distribution(lines: Sequence[OrderLine]) -> tuple[Chart, Legend]:
    series = []
    for line in lines:
        middles = (np.arange(len(line.share)) + 0.5) / len(line.share)
        with np.errstate(divide="ignore"):
            series.append(Series(line.name, line.style, middles, np.maximum(np.log10(line.share), _LOWEST)))
    chart = line_chart(
        "Distribution", "confidence", "share of boxes", series, (0.0, 1.0), (_LOWEST, 0.0), y_ticks=_SHARES
    )
    return chart, [(line.style, line.name, "") for line in lines]


def _order(lines: Sequence[OrderLine]) -> tuple[Chart, Legend]:
    series = [Series(line.name, line.style, PLACES, line.overlap) for line in lines]
    top = max(float(line.overlap[np.isfinite(line.overlap)].max(initial=0.0)) for line in lines)
    chart = line_chart(
        "Order kept", "share of boxes taken", "mean overlap of these", series, (0.0, 1.0), (0.0, top)
    )
    return chart, [(line.style, line.name, _tau(line)) for line in lines]


def _tau(line: OrderLine) -> str:
    return "" if line.name == "oracle" or math.isnan(line.kendall) else f"tau {line.kendall:.3f}"
