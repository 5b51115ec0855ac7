"""The files beside the page: tables as CSV and LaTeX."""

from collections.abc import Iterable

from pipeline.report.grid import Grid, as_csv, as_tex


def table_files(grids: Iterable[Grid]) -> dict[str, bytes]:
    """Each table as `tables/NAME.csv` and `tables/NAME.tex`."""
    files = {}
    for grid in grids:
        files[f"tables/{grid.name}.csv"] = as_csv(grid).encode()
        files[f"tables/{grid.name}.tex"] = as_tex(grid).encode()
    return files
