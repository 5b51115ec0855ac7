"""Charts as geometry: paths, dots, bars and ticks that a template draws as SVG, so that a page's own colours apply.

The page draws them itself: their text is the page's text, and dark mode recolours it. Matplotlib draws the same data
for the files beside the page.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float

from pipeline.workspace.layout import slug

WIDTH, HEIGHT = 350, 300
"""The drawing's units; the page scales it to fit."""

_LEFT, _RIGHT, _TOP, _BOTTOM = 54, 12, 10, 40
_BAR_SHARE = 0.7  # of the distance between bars
_Points = Float[np.ndarray, " point"]

Ticks = Sequence[tuple[float, str]]
"""Places on an axis in data units, and what is written there."""


@dataclass(frozen=True, slots=True)
class Series:
    """One line, or one set of dots or bars, in data units; points that are not finite are left out."""

    name: str
    style: str
    """A class name of the page's style sheet."""
    x: _Points
    y: _Points
    low: _Points | None = None
    """Lower ends of the dots' intervals; None without intervals."""
    high: _Points | None = None


@dataclass(frozen=True, slots=True)
class Data:
    """What a chart shows, before it became geometry."""

    mark: Literal["line", "dot", "bar"]
    series: tuple[Series, ...]
    x_range: tuple[float, float]
    y_range: tuple[float, float]
    x_ticks: tuple[tuple[float, str], ...]
    y_ticks: tuple[tuple[float, str], ...]


@dataclass(frozen=True, slots=True)
class Tick:
    """A labelled place on an axis."""

    position: float
    label: str


@dataclass(frozen=True, slots=True)
class Dot:
    """A numbered point with its interval."""

    name: str
    style: str
    x: float
    y: float
    low: float
    """Where the interval begins and ends, both `y` where there is none."""
    high: float
    label: str
    """What is written on it: the number of its series, which the legend explains."""


@dataclass(frozen=True, slots=True)
class Bar:
    """An upright bar."""

    name: str
    style: str
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart ready to be drawn, in drawing units."""

    title: str
    x_label: str
    y_label: str
    x_ticks: list[Tick]
    y_ticks: list[Tick]
    lines: list[tuple[str, str, str]]
    """Name, style and SVG path of each series of a line chart."""
    data: Data
    dots: Sequence[Dot] = ()
    bars: Sequence[Bar] = ()
    width: int = WIDTH
    height: int = HEIGHT
    left: int = _LEFT
    right: int = WIDTH - _RIGHT
    top: int = _TOP
    bottom: int = HEIGHT - _BOTTOM


Legend = list[tuple[str, str, str]]
"""Style, name, and a number in words, of each line."""


def stem(kind: str, number: int, detector: str) -> str:
    """The stem of the files of one detector's figure; the number tells apart detectors whose names look alike."""
    return f"{kind}-{number}-{slug(detector).lower()}"


@dataclass(frozen=True, slots=True)
class Figure:
    """Charts that belong together, in the page and as files."""

    name: str
    """The stem of its files."""
    title: str
    panels: list[tuple[Chart, Legend]]
    caption: str = ""


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
    title: str, x_label: str, y_label: str, names: Sequence[str], values: _Points, style: str
) -> Chart:
    """A chart with a bar for each name, from zero up."""
    x = np.arange(len(names), dtype=np.float64)
    ticks = [(float(place), name) for place, name in zip(x, names, strict=True)]
    series = Series(y_label, style, x, values)
    y_range = (0.0, float(values.max(initial=0.0)) * 1.05)
    data = _data("bar", [series], (-0.5, len(names) - 0.5), y_range, ticks, ())
    width = _BAR_SHARE * (WIDTH - _LEFT - _RIGHT) / max(1, len(names))
    places = np.round(np.column_stack([_across(x, data) - width / 2, _upward(values, data)]), 1).tolist()
    bars = [
        Bar(f"{name}: {value:,.0f}", style, left, top, round(width, 1), round(HEIGHT - _BOTTOM - top, 1))
        for name, value, (left, top) in zip(names, values, places, strict=True)
    ]
    return Chart(title, x_label, y_label, *_drawn_ticks(data), [], data, bars=bars)


def nice_ticks(low: float, high: float) -> list[float]:
    """4 to 7 multiples of 1, 2 or 5 times a power of ten within `low..high`, ascending."""
    raw = (high - low) / 5
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= raw * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [number * step for number in range(first, last + 1)]


def log_ticks(low: float, high: float) -> list[tuple[float, str]]:
    """1, 2 and 5 times powers of ten within `10**low..10**high`, at their logarithms; over many decades the powers."""
    factors = (1, 2, 5) if high - low < 2 else (1,)
    values = [
        factor * 10.0**power for power in range(math.floor(low), math.ceil(high) + 1) for factor in factors
    ]
    return [(math.log10(value), f"{value:,g}") for value in values if low <= math.log10(value) <= high]


def binned(x: _Points, y: _Points, most: int) -> tuple[_Points, _Points]:
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
        tuple(x_ticks or _round(x_range)),
        tuple(y_ticks or _round(y_range)),
    )


def _drawn_ticks(data: Data) -> tuple[list[Tick], list[Tick]]:
    return (
        [Tick(float(_across(np.array(value), data)), label) for value, label in data.x_ticks],
        [Tick(float(_upward(np.array(value), data)), label) for value, label in data.y_ticks],
    )


def _across(value: _Points, data: Data) -> _Points:
    low, high = data.x_range
    return _LEFT + np.clip((value - low) / (high - low), 0, 1) * (WIDTH - _LEFT - _RIGHT)


def _upward(value: _Points, data: Data) -> _Points:
    low, high = data.y_range
    return HEIGHT - _BOTTOM - np.clip((value - low) / (high - low), 0, 1) * (HEIGHT - _TOP - _BOTTOM)


def _widened(limits: tuple[float, float]) -> tuple[float, float]:
    low, high = limits
    return (low, high) if high > low else (low - 0.5, low + 0.5)


def _round(limits: tuple[float, float]) -> list[tuple[float, str]]:
    values = nice_ticks(*limits)
    return [(value, _label(value, values)) for value in values]


def _label(value: float, ticks: Sequence[float]) -> str:
    step = ticks[1] - ticks[0] if len(ticks) > 1 else 1.0
    decimals = max(0, -math.floor(math.log10(step) + 1e-9))
    return f"{value + 0.0:,.{decimals}f}"


def _path(x: _Points, y: _Points) -> str:
    """The points as an SVG path, rounded to tenths of a unit, without those that would not be seen."""
    is_finite = np.isfinite(x) & np.isfinite(y)
    points = np.round(np.column_stack([x[is_finite], y[is_finite]]), 1)
    if len(points) == 0:
        return ""
    differs = np.append([True], (points[1:] != points[:-1]).any(axis=1))
    return "M" + " ".join(f"{px:g},{py:g}" for px, py in points[differs])
