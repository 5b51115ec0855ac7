"""`results/protocol_curves.parquet`: the curves of the compared protocols (Figures 6 and 9).

It is beside the table of protocols, and may be missing: a comparison of an earlier version has none.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.results.ap import CurveRow
from pipeline.workspace.layout import Workspace
from pipeline.workspace.place import Place
from pipeline.workspace.tables import Table


@dataclass(frozen=True, slots=True, kw_only=True)
class LineCurve(CurveRow):
    """One line's official curve in easy, medium or hard."""

    line: str
    """The line's heading, as in the table."""
    ap: float
    """AP of the curve, 0..1; NaN where the setting keeps no face."""


def line_curve_file(workspace: Workspace) -> Place:
    """The file of the curves."""
    return workspace.results / "protocol_curves.parquet"


def write_line_curves(workspace: Workspace, rows: Sequence[LineCurve]) -> None:
    """Replace the curves.

    Raises UserError when the file cannot be written.
    """
    _table(workspace).write(rows)


def read_line_curves(workspace: Workspace) -> list[LineCurve]:
    """The curves, in the order of the table's lines; none where nothing was compared.

    Raises UserError when the file is damaged.
    """
    return _table(workspace).read_if_there()


def _table(workspace: Workspace) -> Table[LineCurve]:
    return Table(line_curve_file(workspace), LineCurve, "crface evaluate-protocols")
