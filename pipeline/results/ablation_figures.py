"""What an ablation leaves for figures: curves, distributions of confidence, and the order kept (Figures 4, 10, 11).

These files are beside the tables, and may be missing: an ablation of an earlier version has none.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from pipeline.errors import UserError
from pipeline.workspace.layout import Workspace
from pipeline.workspace.place import Place
from pipeline.workspace.tables import Table


@dataclass(frozen=True, slots=True, kw_only=True)
class AblationFigure:
    """One detector's candidates under one ranker, or under none."""

    detector: str
    confidence: str
    """As in the table's rows: ranked, predicted, or oracle."""
    kendall: float
    """Mean Kendall's tau with the oracle; NaN where there is nothing to order."""
    share: Float64[np.ndarray, " bin"]
    """The share of boxes in each of `crface.evaluation.order.NUM_BINS` bins of confidence."""
    overlap: Float64[np.ndarray, " place"]
    """Mean oracle confidence of each image's best boxes, at `crface.evaluation.order.PLACES`."""
    precision_easy: Float64[np.ndarray, " threshold"]
    """Precision of the official curve in easy, by falling threshold; the others likewise."""
    recall_easy: Float64[np.ndarray, " threshold"]
    precision_medium: Float64[np.ndarray, " threshold"]
    recall_medium: Float64[np.ndarray, " threshold"]
    precision_hard: Float64[np.ndarray, " threshold"]
    recall_hard: Float64[np.ndarray, " threshold"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepFigure:
    """An `AblationFigure` of a sweep with its setting, for the sweep's first seed."""

    setting: str
    row: AblationFigure


def sweep_figure_file(workspace: Workspace, sweep: str) -> Place:
    """The file of a whole sweep's figures."""
    return workspace.results / f"ablation-{sweep}-figures.parquet"


def write_figures(workspace: Workspace, fingerprint: str, rows: Sequence[AblationFigure]) -> None:
    """Write what one task leaves for figures.

    Raises UserError when it cannot be written.
    """
    _task_table(workspace, fingerprint).write(rows)


def read_figures(workspace: Workspace, fingerprint: str) -> list[AblationFigure]:
    """What one task left; nothing if it left none, or none that can be read."""
    try:
        return _task_table(workspace, fingerprint).read_if_there()
    except UserError:
        return []


def write_sweep_figures(workspace: Workspace, sweep: str, rows: Sequence[SweepFigure]) -> None:
    """Write what a whole sweep leaves for figures.

    Raises UserError when it cannot be written.
    """
    _sweep_table(workspace, sweep).write(rows)


def read_sweep_figures(workspace: Workspace, sweep: str) -> list[SweepFigure]:
    """What a sweep left, in the order of its table; nothing where it left none.

    Raises UserError when the file is damaged.
    """
    return _sweep_table(workspace, sweep).read_if_there()


def _task_table(workspace: Workspace, fingerprint: str) -> Table[AblationFigure]:
    path = workspace.results / "ablation" / f"{fingerprint}-figures.parquet"
    return Table(path, AblationFigure, "crface ablate")


def _sweep_table(workspace: Workspace, sweep: str) -> Table[SweepFigure]:
    return Table(sweep_figure_file(workspace, sweep), SweepFigure, f"crface ablate {sweep}")
