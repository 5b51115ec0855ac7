"""AP over milliseconds: what each protocol costs and brings, as a picture of the paper's Tables 3 and 4."""

import math
from collections.abc import Sequence

import numpy as np

from pipeline.ground_truth.truth import SETTINGS
from pipeline.report.chart_model import Chart, Figure, Legend, Series
from pipeline.report.charts import dot_chart
from pipeline.report.tables import percent
from pipeline.report.ticks import log_ticks
from pipeline.results.protocols import ComparisonRow
from pipeline.results.text import milliseconds

_LEAST_DECADES = 1.0  # that the axis of time spans: two protocols of the same cost lie side by side


def cost_figure(rows: Sequence[ComparisonRow]) -> Figure | None:
    """A panel for each detector and split with a dot for each protocol and ranker; None where nothing was compared."""
    setting = SETTINGS[-1]
    own = [row for row in rows if row.setting == setting and math.isfinite(row.ap) and row.median_ms > 0]
    if not own:
        return None
    first = own[0]
    panels: dict[str, list[ComparisonRow]] = {}
    has_splits = len({row.split for row in own}) > 1
    for row in own:
        name = f"{row.detector} on {row.split}" if has_splits else row.detector
        panels.setdefault(name, []).append(row)
    images = " and of ".join(
        dict.fromkeys(f"the same {row.images} of {row.split_images} images" for row in own)
    )
    return Figure(
        "cost",
        "AP over milliseconds",
        [_panel(name, rows) for name, rows in panels.items()],
        f"AP {setting} with its 95 % interval over the time of an image, without decoding, on {images}; median of "
        f"{first.timed_images} images on {first.device}. Up and to the left is better.",
    )


def _panel(detector: str, rows: Sequence[ComparisonRow]) -> tuple[Chart, Legend]:
    logs = np.log10([row.median_ms for row in rows])
    middle, reach = (logs.min() + logs.max()) / 2, max(_LEAST_DECADES, np.ptp(logs) * 1.15) / 2
    x_range = (float(middle - reach), float(middle + reach))
    lowest = min(row.ap if math.isnan(row.ap_low) else min(row.ap, row.ap_low) for row in rows)
    series = [
        Series(
            row.line,
            _style(row),
            np.array([x]),
            np.array([row.ap]),
            np.array([row.ap_low]),
            np.array([row.ap_high]),
        )
        for row, x in zip(rows, logs, strict=True)
    ]
    y_range = (math.floor(10 * lowest) / 10, 1.0)
    chart = dot_chart(
        detector, "ms an image", "AP hard", series, x_range, y_range, x_ticks=log_ticks(*x_range)
    )
    legend = [
        (_style(row), f"{number} {row.line}", f"{percent(row.ap)} in {milliseconds(row.median_ms)} ms")
        for number, row in enumerate(rows, 1)
    ]
    return chart, legend


def _style(row: ComparisonRow) -> str:
    if row.ranker:
        return "ranked"
    return "multi" if row.protocol.endswith("multi") else "predicted"
