"""Charts and figures as data: what they show, and the geometry that the page draws."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float

from pipeline.workspace.layout import slug

WIDTH, HEIGHT = 350, 300
"""The drawing's units; the page scales it to fit."""

LEFT, RIGHT, TOP, BOTTOM = 54, 12, 10, 40
"""Margins around the axes."""

Points = Float[np.ndarray, " point"]

Ticks = Sequence[tuple[float, str]]
"""Places on an axis in data units, and what is written there."""


@dataclass(frozen=True, slots=True)
class Series:
    """One line, or one set of dots or bars, in data units; points that are not finite are left out."""

    name: str
    style: str
    """A class name of the page's style sheet."""
    x: Points
    y: Points
    low: Points | None = None
    """Lower ends of the dots' intervals; None without intervals."""
    high: Points | None = None


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
    left: int = LEFT
    right: int = WIDTH - RIGHT
    top: int = TOP
    bottom: int = HEIGHT - BOTTOM


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
