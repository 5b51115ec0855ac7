"""Charts as geometry: paths, dots, bars and ticks that a template draws as SVG, so that a page's own colours apply.

The page draws them itself: their text is the page's text, and dark mode recolours it. Matplotlib draws the same data
for the files beside the page.
"""

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np

from pipeline.report.chart_model import (
    BOTTOM,
    HEIGHT,
    LEFT,
    RIGHT,
    TOP,
    WIDTH,
    Bar,
    Chart,
    Data,
    Dot,
    Points,
    Series,
    Tick,
    Ticks,
)
from pipeline.report.ticks import round_ticks

_BAR_SHARE = 0.7  # of the distance between bars


def line_chart(
    title: str,
    x_label: str,
    y_label: str,
    series: Sequence[Series],
    x_range: tuple[float, float],
    y_range: tuple[float, float],
    *,
    x_ticks: Ticks = (),
    y_ticks: Ticks = (),
) -> Chart:
    """A chart ready to be drawn; points outside the ranges are clipped to their edge, an empty range is widened.

    Ticks are round numbers unless they are given.
    """
    data = _data("line", series, x_range, y_range, x_ticks, y_ticks)
    lines = [(line.name, line.style, _path(_across(line.x, data), _upward(line.y, data))) for line in series]
    return Chart(title, x_label, y_label, *_drawn_ticks(data), lines, data)


def dot_chart(
    title: str,
    x_label: str,
    y_label: str,
    series: Sequence[Series],
    x_range: tuple[float, float],
    y_range: tuple[float, float],
    *,
    x_ticks: Ticks = (),
) -> Chart:
    """A chart with a dot for each point of each series, with the series' number, and its interval where it has one."""
    data = _data("dot", series, x_range, y_range, x_ticks, ())
    dots = []
    for number, item in enumerate(series, 1):
        low, high = (
            item.y if end is None else np.where(np.isfinite(end), end, item.y)
            for end in (item.low, item.high)
        )
        places = (_across(item.x, data), *(_upward(values, data) for values in (item.y, low, high)))
        for x, y, bottom, top in np.round(np.column_stack(places), 1).tolist():
            if math.isfinite(x) and math.isfinite(y):
                dots.append(Dot(item.name, item.style, x, y, bottom, top, str(number)))
    return Chart(title, x_label, y_label, *_drawn_ticks(data), [], data, dots=dots)


def bar_chart(
    title: str, x_label: str, y_label: str, names: Sequence[str], values: Points, style: str
) -> Chart:
    """A chart with a bar for each name, from zero up."""
    x = np.arange(len(names), dtype=np.float64)
    ticks = [(float(place), name) for place, name in zip(x, names, strict=True)]
    series = Series(y_label, style, x, values)
    y_range = (0.0, float(values.max(initial=0.0)) * 1.05)
    data = _data("bar", [series], (-0.5, len(names) - 0.5), y_range, ticks, ())
    width = _BAR_SHARE * (WIDTH - LEFT - RIGHT) / max(1, len(names))
    places = np.round(np.column_stack([_across(x, data) - width / 2, _upward(values, data)]), 1).tolist()
    bars = [
        Bar(f"{name}: {value:,.0f}", style, left, top, round(width, 1), round(HEIGHT - BOTTOM - top, 1))
        for name, value, (left, top) in zip(names, values, places, strict=True)
    ]
    return Chart(title, x_label, y_label, *_drawn_ticks(data), [], data, bars=bars)


def binned(x: Points, y: Points, most: int) -> tuple[Points, Points]:
    """At most `most` points, each the mean of neighbours; unchanged if there are no more than that."""
    if len(x) <= most:
        return x, y
    parts = np.array_split(np.arange(len(x)), most)
    return np.array([x[part].mean() for part in parts]), np.array([y[part].mean() for part in parts])


def _data(
    mark: Literal["line", "dot", "bar"],
    series: Sequence[Series],
    x_range: tuple[float, float],
    y_range: tuple[float, float],
    x_ticks: Ticks,
    y_ticks: Ticks,
) -> Data:
    x_range, y_range = _widened(x_range), _widened(y_range)
    return Data(
        mark,
        tuple(series),
        x_range,
        y_range,
        tuple(x_ticks or round_ticks(x_range)),
        tuple(y_ticks or round_ticks(y_range)),
    )


def _drawn_ticks(data: Data) -> tuple[list[Tick], list[Tick]]:
    return (
        [Tick(float(_across(np.array(value), data)), label) for value, label in data.x_ticks],
        [Tick(float(_upward(np.array(value), data)), label) for value, label in data.y_ticks],
    )


def _across(value: Points, data: Data) -> Points:
    low, high = data.x_range
    return LEFT + np.clip((value - low) / (high - low), 0, 1) * (WIDTH - LEFT - RIGHT)


def _upward(value: Points, data: Data) -> Points:
    low, high = data.y_range
    return HEIGHT - BOTTOM - np.clip((value - low) / (high - low), 0, 1) * (HEIGHT - TOP - BOTTOM)


def _widened(limits: tuple[float, float]) -> tuple[float, float]:
    low, high = limits
    return (low, high) if high > low else (low - 0.5, low + 0.5)


def _path(x: Points, y: Points) -> str:
    """The points as an SVG path, rounded to tenths of a unit, without those that would not be seen."""
    is_finite = np.isfinite(x) & np.isfinite(y)
    points = np.round(np.column_stack([x[is_finite], y[is_finite]]), 1)
    if len(points) == 0:
        return ""
    differs = np.append([True], (points[1:] != points[:-1]).any(axis=1))
    return "M" + " ".join(f"{px:g},{py:g}" for px, py in points[differs])
