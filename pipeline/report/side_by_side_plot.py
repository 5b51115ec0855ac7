"""Predictions side by side as a plot for files."""

from typing import TYPE_CHECKING

import numpy as np

from pipeline.report.side_by_side import SideBySide

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Plot


def side_by_side_plot(shown: SideBySide) -> "Plot":
    """A row for each image, a column for each view."""
    import cv2
    from matplotlib.figure import Figure as Plot
    from matplotlib.patches import Rectangle

    columns = len(shown.sights[0].views)
    plot = Plot(figsize=(3.0 * columns, 2.4 * len(shown.sights)))
    place = 0
    for sight in shown.sights:
        bgr = cv2.imdecode(np.frombuffer(sight.jpeg, np.uint8), cv2.IMREAD_COLOR)
        assert bgr is not None  # encoded a moment ago
        for view in sight.views:
            place += 1
            axes = plot.add_subplot(len(shown.sights), columns, place)
            axes.imshow(bgr[:, :, ::-1], extent=(0, sight.width, sight.height, 0))
            for (x1, y1, x2, y2), is_hit in zip(view.boxes, view.is_hit, strict=True):
                color, dash = ("#12b886", "-") if is_hit else ("#ff4b1f", "--")
                axes.add_patch(
                    Rectangle(
                        (x1, y1), x2 - x1, y2 - y1, fill=False, edgecolor=color, linestyle=dash, linewidth=0.9
                    )
                )
            mistakes = int((~view.is_hit).sum())
            axes.set_title(
                f"{view.name}: {view.num_found} of {sight.num_faces} found, {mistakes} false", fontsize=7
            )
            axes.set_axis_off()
    return plot
