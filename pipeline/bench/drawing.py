"""The look of the benchmarks' pictures, and their bytes: the same for the same numbers."""

import io
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLOURS: Final = ("#8d99ae", "#2a9d8f", "#e9c46a", "#264653", "#e76f51", "#9b5de5", "#f4a261", "#577590")

_STYLE: Final[Any] = {
    "font.family": "DejaVu Sans",  # comes with Matplotlib: the same everywhere
    "font.size": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    "svg.hashsalt": "crface",  # ids without chance
}


def drawn(draw: Callable[["Figure"], None], inches: tuple[float, float]) -> bytes:
    """The bytes of an SVG file with what `draw` puts into a figure of this size, without the time of writing."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    buffer = io.BytesIO()
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=inches)
        draw(figure)
        figure.savefig(buffer, format="svg", metadata={"Date": None}, bbox_inches="tight")
    return b"".join(line.rstrip() + b"\n" for line in buffer.getvalue().splitlines())
