"""How many faces of each height the evaluated images have (Figure 5)."""

from collections.abc import Sequence

import numpy as np

from pipeline.ground_truth.face_groups import HEIGHTS
from pipeline.report.chart_model import Figure
from pipeline.report.charts import bar_chart
from pipeline.results.ap import ApRow


def height_figure(rows: Sequence[ApRow]) -> Figure | None:
    """A bar for each of the paper's bins of face height that has faces, or lies between such; None without a face."""
    faces = {row.setting: row.faces for row in rows if row.setting in HEIGHTS}
    filled = [number for number, name in enumerate(HEIGHTS) if faces.get(name)]
    if not filled:
        return None
    names = HEIGHTS[filled[0] : filled[-1] + 1]
    chart = bar_chart(
        "Faces by height",
        "height in the image, px",
        "faces",
        [name.removesuffix(" px") for name in names],
        np.array([float(faces.get(name, 0)) for name in names]),
        "predicted",
    )
    caption = (
        "Above the lower height, up to the upper one; every labelled face, those flagged invalid included."
    )
    return Figure("face-heights", "Faces by height", [(chart, [])], caption)
