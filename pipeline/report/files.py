"""A report before it is written: its page, and the tables beside it as CSV and LaTeX."""

from collections.abc import Iterable
from dataclasses import dataclass

from pipeline.report.grid import Grid, as_csv, as_tex


@dataclass(frozen=True, slots=True)
class Rendered:
    """All that a report consists of."""

    page: str
    files: dict[str, bytes]
    """By path below the page's folder."""


def table_files(grids: Iterable[Grid]) -> dict[str, bytes]:
    """Each table as `tables/NAME.csv` and `tables/NAME.tex`."""
    files = {}
    for grid in grids:
        files[f"tables/{grid.name}.csv"] = as_csv(grid).encode()
        files[f"tables/{grid.name}.tex"] = as_tex(grid).encode()
    return files
