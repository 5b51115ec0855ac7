"""Line charts as geometry: paths and ticks that a template draws as SVG, so that a page's own colours apply.

Drawn by the page and not by matplotlib: the text is the page's text, and dark mode recolours it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

WIDTH, HEIGHT = 340, 300
"""The drawing's units; the page scales it to fit."""

_LEFT, _RIGHT, _TOP, _BOTTOM = 44, 12, 10, 40
_Points = Float[np.ndarray, " point"]


@dataclass(frozen=True, slots=True)
class Series:
    """One line of a chart, in data units; points that are not finite are left out."""

    name: str
    style: str
    """A class name of the page's style sheet."""
    x: _Points
    y: _Points


@dataclass(frozen=True, slots=True)
class Tick:
    """A labelled place on an axis."""

    position: float
    label: str


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart ready to be drawn, in drawing units."""

    title: str
    x_label: str
    y_label: str
    x_ticks: list[Tick]
    y_ticks: list[Tick]
    lines: list[tuple[str, str, str]]
    """Name, style and SVG path of each series."""
    width: int = WIDTH
    height: int = HEIGHT
    left: int = _LEFT
    right: int = WIDTH - _RIGHT
    top: int = _TOP
    bottom: int = HEIGHT - _BOTTOM


def line_chart(
    title: str,
    x_label: str,
    y_label: str,
    series: Sequence[Series],
    x_range: tuple[float, float],
    y_range: tuple[float, float],
) -> Chart:
    """A chart ready to be drawn; points outside the ranges are clipped to their edge, an empty range is widened."""
    x_low, x_high = _widened(x_range)
    y_low, y_high = _widened(y_range)

    def across(value: _Points) -> _Points:
        return _LEFT + np.clip((value - x_low) / (x_high - x_low), 0, 1) * (WIDTH - _LEFT - _RIGHT)

    def upward(value: _Points) -> _Points:
        return (
            HEIGHT - _BOTTOM - np.clip((value - y_low) / (y_high - y_low), 0, 1) * (HEIGHT - _TOP - _BOTTOM)
        )

    x_values, y_values = nice_ticks(x_low, x_high), nice_ticks(y_low, y_high)
    return Chart(
        title,
        x_label,
        y_label,
        [Tick(float(across(np.array(value))), _label(value, x_values)) for value in x_values],
        [Tick(float(upward(np.array(value))), _label(value, y_values)) for value in y_values],
        [(line.name, line.style, _path(across(line.x), upward(line.y))) for line in series],
    )


def nice_ticks(low: float, high: float) -> list[float]:
    """4 to 7 multiples of 1, 2 or 5 times a power of ten within `low..high`, ascending."""
    raw = (high - low) / 5
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= raw * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [number * step for number in range(first, last + 1)]


def binned(x: _Points, y: _Points, most: int) -> tuple[_Points, _Points]:
    """At most `most` points, each the mean of neighbours; unchanged if there are no more than that."""
    if len(x) <= most:
        return x, y
    parts = np.array_split(np.arange(len(x)), most)
    return np.array([x[part].mean() for part in parts]), np.array([y[part].mean() for part in parts])


def _widened(limits: tuple[float, float]) -> tuple[float, float]:
    low, high = limits
    return (low, high) if high > low else (low - 0.5, low + 0.5)


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
