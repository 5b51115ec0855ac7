"""The tables of compared protocols, resolutions and timings as grids, for their files."""

from collections.abc import Sequence

from pipeline.ground_truth.truth import SETTINGS
from pipeline.report.grid import Grid, Group, Row
from pipeline.report.resolutions import ResolutionFigure
from pipeline.report.timings import TimingTable
from pipeline.results.protocols import ComparedTable


def protocol_grids(tables: Sequence[ComparedTable], data: str) -> list[Grid]:
    """All compared protocols in one table; none where nothing was compared."""
    if not tables:
        return []
    groups = [
        Group(
            f"{data}: {table.title}",
            [Row((line.name, *line.cells, line.milliseconds)) for line in table.lines],
        )
        for table in tables
    ]
    columns = ("protocol, ranker", *SETTINGS, "ms an image")
    notes = list(dict.fromkeys(table.conditions for table in tables))
    return [Grid("protocols", "Protocols over the same images", columns, 1, groups, notes=notes)]


def resolution_grids(figures: Sequence[ResolutionFigure], data: str) -> list[Grid]:
    """A table for each figure, under the figure's name."""
    return [
        Grid(
            figure.figure.name,
            figure.figure.title,
            (
                "image height",
                "median face",
                *(f"{setting} {name}" for setting in SETTINGS for name in figure.names),
            ),
            0,
            [
                Group(
                    f"{data}: {figure.title}, {figure.images} images",
                    [Row((height, face, *cells)) for height, face, cells in figure.lines],
                )
            ],
            notes=["Official AP in %, heights in pixels"],
        )
        for figure in figures
    ]


def timing_grids(timings: TimingTable | None, data: str) -> list[Grid]:
    """The table of timings; none where nothing was timed."""
    if timings is None:
        return []
    rows = [Row((line.detector, line.protocol, *line.cells)) for line in timings.lines]
    return [
        Grid(
            "timings",
            "What an image costs",
            ("detector", "protocol", *timings.columns),
            2,
            [Group(f"{data}: {timings.where}", rows)],
            notes=[timings.conditions],
        )
    ]
