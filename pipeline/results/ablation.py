"""What a sweep writes to `results/`: the rows of each task, the rows of the whole sweep, and its table as text."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from pipeline.errors import UserError
from pipeline.results.text import NONE
from pipeline.workspace.layout import Workspace
from pipeline.workspace.place import Place
from pipeline.workspace.tables import Table
from pipeline.workspace.writing import write_atomically

SWEEPS: Final = ("losses", "pairs")
"""Tables 1 and 2 of the paper."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AblationRow:
    """AP of one detector's candidates under one ranker, or under none."""

    split: str
    detector: str
    protocol: str
    confidence: str
    """ranked; without a ranker: predicted, or oracle (over all candidates)."""
    training: str
    """The fingerprint of the ranker's training, which names its folder; empty without a ranker."""
    seconds: float
    """How long training and measuring took where they ran; for a resumed training, its last part."""
    ap_easy: float
    """Official AP in easy, 0..1; NaN where the training diverged or the setting keeps no face."""
    ap_medium: float
    """Official AP in medium, 0..1; NaN where the training diverged or the setting keeps no face."""
    ap_hard: float
    """Official AP in hard, 0..1; NaN where the training diverged or the setting keeps no face."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepRow:
    """A row of a whole sweep: an `AblationRow` with its setting and seed."""

    setting: str
    seed: int
    row: AblationRow


def task_file(workspace: Workspace, fingerprint: str) -> Place:
    """The file of one task's rows."""
    return workspace.results / "ablation" / f"{fingerprint}.parquet"


def read_rows(workspace: Workspace, fingerprint: str) -> list[AblationRow] | None:
    """One task's rows; None if it is not done, or its file cannot be read."""
    try:
        return _task_table(workspace, fingerprint).read()
    except UserError:
        return None


def write_rows(workspace: Workspace, fingerprint: str, rows: Sequence[AblationRow]) -> None:
    """Write one task's rows, whole or not at all: a task is done when its file is there.

    Raises UserError when they cannot be written.
    """
    _task_table(workspace, fingerprint).write(rows)


def write_sweep(workspace: Workspace, sweep: str, rows: Sequence[SweepRow], text: str) -> Place:
    """Write `results/ablation-<sweep>.parquet` and the table as `.txt`; returns the path of the latter.

    Raises UserError when they cannot be written.
    """
    _sweep_table(workspace, sweep).write(rows)
    as_text = workspace.results / f"ablation-{sweep}.txt"
    write_atomically(as_text, (text + "\n").encode())
    return as_text


def sweep_file(workspace: Workspace, sweep: str) -> Place:
    """The file of a whole sweep's rows."""
    return workspace.results / f"ablation-{sweep}.parquet"


def read_sweep(workspace: Workspace, sweep: str) -> list[SweepRow]:
    """The rows of a whole sweep in the order of its table; none where it was not run.

    Raises UserError when the file is damaged.
    """
    return _sweep_table(workspace, sweep).read_if_there()


def mean_and_spread(values: Sequence[float]) -> str:
    """APs of several seeds in percent as text, `66.1 ±0.2` (deviation of the sample); a dash where one is missing."""
    if not values or any(math.isnan(value) for value in values):
        return NONE
    mean = f"{100 * statistics.fmean(values):.1f}"
    return mean if len(values) == 1 else f"{mean} ±{100 * statistics.stdev(values):.1f}"


def _sweep_table(workspace: Workspace, sweep: str) -> Table[SweepRow]:
    return Table(sweep_file(workspace, sweep), SweepRow, f"crface ablate {sweep}")


def _task_table(workspace: Workspace, fingerprint: str) -> Table[AblationRow]:
    return Table(task_file(workspace, fingerprint), AblationRow, "crface ablate", is_nan_null=False)
