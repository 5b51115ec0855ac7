"""Figures as SVG and PDF files: drawn by Matplotlib from the page's own data, the same bytes for the same numbers."""

import io
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

from pipeline.report.chart_model import Chart, Figure, Legend, Series
from pipeline.report.palette import look

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Plot

STYLE: Final[Any] = {
    "font.family": "DejaVu Sans",  # comes with Matplotlib: the same everywhere
    "font.size": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#5c636d",
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#dfe2e6",
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "lines.solid_joinstyle": "round",
    "pdf.fonttype": 42,  # text that can be edited and searched
    "text.parse_math": False,  # names are text, whatever dollars they have
    "svg.hashsalt": "crface",  # ids without chance
}
"""The one style of all figure files."""

_PANEL_INCHES = 3.0
_UNDATED: Final[dict[str, dict[str, Any]]] = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}


def figure_files(figures: Iterable[Figure]) -> dict[str, bytes]:
    """Each figure as `figures/NAME.svg` and `figures/NAME.pdf`."""
    files: dict[str, bytes] = {}
    for name, figure in {figure.name: figure for figure in figures}.items():  # one may be in several sections
        files |= saved(name, _plot(figure))
    return files


def saved(name: str, plot: "Plot") -> dict[str, bytes]:
    """A plot as `figures/NAME.svg` and `figures/NAME.pdf`, without the time of writing."""
    import matplotlib as mpl

    files = {}
    with mpl.rc_context(STYLE):
        for kind, metadata in _UNDATED.items():
            buffer = io.BytesIO()
            plot.savefig(buffer, format=kind, metadata=metadata, bbox_inches="tight")
            files[f"figures/{name}.{kind}"] = buffer.getvalue()
    return files


def _plot(figure: Figure) -> "Plot":
    import matplotlib as mpl
    from matplotlib.figure import Figure as Plot

    with mpl.rc_context(STYLE):
        number = len(figure.panels)
        plot = Plot(figsize=(_PANEL_INCHES * number, _PANEL_INCHES))
        for place, (chart, legend) in enumerate(figure.panels, 1):
            _draw(plot.add_subplot(1, number, place), chart, legend)
        plot.subplots_adjust(wspace=0.35)
    return plot


def _draw(axes: "Axes", chart: Chart, legend: Legend) -> None:
    data = chart.data
    named = {(style, name): f"{name}  {number}".rstrip() for style, name, number in legend}
    for number, series in enumerate(data.series, 1):
        found = look(series.style)
        label = named.get((series.style, series.name))
        if data.mark == "bar":
            axes.bar(series.x, series.y, width=0.7, color=found.light)
        elif data.mark == "dot":
            _dots(axes, series, number, " ".join(legend[number - 1][1:]))
        else:
            axes.plot(
                series.x,
                series.y,
                color=found.light,
                linewidth=0.7 * found.width,
                linestyle=(0, found.dash) if found.dash else "-",
                label=label,
            )
    axes.set(
        title=chart.title, xlabel=chart.x_label, ylabel=chart.y_label, xlim=data.x_range, ylim=data.y_range
    )
    axes.set_xticks([value for value, _ in data.x_ticks], [label for _, label in data.x_ticks])
    axes.set_yticks([value for value, _ in data.y_ticks], [label for _, label in data.y_ticks])
    if data.mark == "bar":
        axes.tick_params("x", labelrotation=45)
    if data.mark != "bar" and legend:
        axes.legend(fontsize=6.5, loc="upper center", bbox_to_anchor=(0.5, -0.18))


def _dots(axes: "Axes", series: Series, number: int, label: str) -> None:
    color = look(series.style).light
    if series.low is not None and series.high is not None:
        axes.vlines(series.x, series.low, series.high, color=color, alpha=0.45, linewidth=2)
    axes.plot(series.x, series.y, "o", color=color, markersize=8, label=label)
    for x, y in zip(series.x, series.y, strict=True):
        axes.annotate(
            str(number), (x, y), ha="center", va="center", fontsize=5.5, color="white", weight="bold"
        )
