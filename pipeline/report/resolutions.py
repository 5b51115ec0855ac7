"""The figure of AP over resolution (paper Figure 2), and its numbers, as a page shows them."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from pipeline.ground_truth.truth import SETTINGS
from pipeline.report.chart_model import Chart, Figure, Series, stem
from pipeline.report.charts import line_chart
from pipeline.report.tables import percent
from pipeline.results.resolutions import ResolutionRow


@dataclass(frozen=True, slots=True)
class ResolutionFigure:
    """One detector on one split."""

    title: str
    images: int
    definition: str
    figure: Figure
    """A panel per setting, over face height where every image shows a single face, else over image height."""
    names: list[str]
    """Of the lines, and of the columns of every setting."""
    lines: list[tuple[str, str, list[str]]]
    """Image height, median face height, and AP in percent, each setting's lines in turn."""
    conditions: list[tuple[str, str]]
    """What decides the numbers, in words."""


def resolution_figures(rows: Sequence[ResolutionRow]) -> list[ResolutionFigure]:
    """A figure of official AP for each split and detector; none for no rows."""

    def source(row: ResolutionRow) -> tuple[str, str, str]:
        return row.split, row.detector, row.weights

    official = sorted((row for row in rows if row.kind == "official"), key=source)
    return [
        _figure(number, list(group)) for number, (_, group) in enumerate(groupby(official, key=source), 1)
    ]


def _figure(number_of: int, rows: Sequence[ResolutionRow]) -> ResolutionFigure:
    first = rows[0]
    number = {(row.height_px, row.confidence, row.candidates, row.setting): row for row in rows}
    variants = list(dict.fromkeys((row.confidence, row.candidates) for row in rows))
    heights = sorted({row.height_px for row in rows})
    names = [f"{confidence}, {candidates}" for confidence, candidates in variants]
    styles = [confidence if candidates != "all" else "bound" for confidence, candidates in variants]
    legend = [(style, name, "") for style, name in zip(styles, names, strict=True)]
    is_single = all(row.most_faces <= 1 for row in rows)

    def chart(setting: str) -> Chart:
        across = [number[height, *variants[0], setting] for height in heights]
        x = np.array([row.face_px if is_single else float(row.height_px) for row in across])
        series = [
            Series(name, style, x, np.array([number[height, *variant, setting].ap for height in heights]))
            for name, style, variant in zip(names, styles, variants, strict=True)
        ]
        x_label = f"{'median face' if is_single else 'image'} height, px"
        known = x[np.isfinite(x)]
        return line_chart(setting, x_label, "AP", series, (0.0, float(known.max(initial=0))), (0.0, 1.0))

    def line(height: int) -> tuple[str, str, list[str]]:
        face_px = number[height, *variants[0], SETTINGS[-1]].face_px
        cells = [
            percent(number[height, *variant, setting].ap) for setting in SETTINGS for variant in variants
        ]
        return str(height), f"{face_px:.0f}" if face_px == face_px else "", cells

    return ResolutionFigure(
        title=f"{first.detector} on {first.split}",
        images=first.images,
        definition=first.definition,
        figure=Figure(
            stem("resolutions", number_of, f"{first.split}-{first.detector}"),
            f"AP by resolution: {first.detector} on {first.split}",
            [(chart(setting), legend) for setting in SETTINGS],
        ),
        names=names,
        lines=[line(height) for height in heights],
        conditions=[
            ("NMS", f"IoU {first.nms_iou:g}"),
            ("a hit", f"IoU {first.iou:g}"),
            ("weights", first.weights[:12]),
            ("ground truth", first.ground_truth[:12]),
        ],
    )
