"""The results beside AP: `failures.parquet`, a row per group of faces; `calibration.parquet`, a row per diagram."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from jaxtyping import Float64, Int64

from pipeline.results.ap import Conditions, Origin
from pipeline.results.text import aligned, decimals
from pipeline.workspace.layout import Workspace
from pipeline.workspace.tables import Table

FAILURES: Final = "failures.parquet"
CALIBRATION: Final = "calibration.parquet"

_FAILURE_HEADINGS = ("confidence", "at", "missed", "fixable", "no box", "twice", "misplaced", "background")
_CALIBRATION_HEADINGS = ("confidence", "ECE hit", "ECE overlap", "Kendall", "Spearman", "images")

Target = Literal["hit", "overlap"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureRow(Conditions):
    """What became of a group of faces at one operating point (paper 3.1)."""

    threshold: float
    """The official threshold of the confidence with the highest F1 in the setting; NaN where no face is found."""
    precision: float
    """Precision at the threshold, 0..1; NaN where no face is found."""
    recall: float
    """Recall at the threshold, 0..1; NaN where no face is found."""
    group: str
    """The property that groups the faces: all, height, or an attribute."""
    value: str
    """The group's value of that property: all, "20-40 px", heavy, ..."""
    faces: int
    """How many faces of the group the setting keeps."""
    found: int
    fixable: int
    """Faces missed although a stored candidate hits them: a better confidence would find them."""
    unreachable: int
    """Faces missed that no candidate hits."""
    detections: int | None
    """Detections at or above the threshold, without those on ignored faces; None unless the group is all faces."""
    duplicates: int | None
    """Detections of a face that is already found; None unless the group is all faces."""
    misplaced: int | None
    """Detections that overlap a face too little; None unless the group is all faces."""
    background: int | None
    """Detections on no face; None unless the group is all faces."""

    @property
    def missed(self) -> int:
        """False negatives."""
        return self.fixable + self.unreachable


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationRow(Origin):
    """A reliability diagram of detections, and how closely confidence orders candidates as the oracle does."""

    target: Target
    """What confidence is compared with: hit, whether the box overlaps a face by `iou`; overlap, by how much."""
    boxes: int
    expected_error: float
    """Expected calibration error, 0..1; NaN without boxes."""
    largest_error: float
    """Largest calibration error of a bin, 0..1; NaN without boxes."""
    kendall: float
    """Kendall's tau of the candidates above the threshold, mean over images; NaN where there is nothing to order."""
    spearman: float
    """Spearman's rho of the candidates above the threshold, mean over images; NaN where there is nothing to order."""
    ordered_images: int
    """How many images the means are over."""
    edges: Float64[np.ndarray, " bin_and_end"]
    count: Int64[np.ndarray, " bin"]
    mean_confidence: Float64[np.ndarray, " bin"]
    """Mean confidence of the boxes in each bin; NaN in an empty bin."""
    mean_target: Float64[np.ndarray, " bin"]
    """Mean target of the boxes in each bin; NaN in an empty bin."""


def failure_table(workspace: Workspace) -> Table[FailureRow]:
    """The file `failures.parquet`."""
    return Table(workspace.results / FAILURES, FailureRow, "crface evaluate")


def calibration_table(workspace: Workspace) -> Table[CalibrationRow]:
    """The file `calibration.parquet`."""
    return Table(workspace.results / CALIBRATION, CalibrationRow, "crface evaluate")


def read_failures(workspace: Workspace) -> list[FailureRow]:
    """The rows of `failures.parquet`.

    Raises UserError when there is none, or it is damaged.
    """
    return failure_table(workspace).read()


def read_calibration(workspace: Workspace) -> list[CalibrationRow]:
    """The rows of `calibration.parquet`.

    Raises UserError when there is none, or it is damaged.
    """
    return calibration_table(workspace).read()


def format_failures(rows: Sequence[FailureRow]) -> str:
    """The failures of all faces as text, one table for each detector and protocol; empty for no rows."""
    whole = [row for row in rows if row.group == "all"]
    tables = []
    for source in dict.fromkeys(_source(row) for row in whole):
        own = [row for row in whole if _source(row) == source]
        lines = [_FAILURE_HEADINGS, *(_failure_line(row) for row in own)]
        table = "\n".join(aligned(lines))
        tables.append(
            f"failures of {own[0].detector} on {own[0].split} in {own[0].setting}, {own[0].faces} faces, "
            f"at the best F1:\n{table}"
        )
    return "\n\n".join(tables)


def format_calibration(rows: Sequence[CalibrationRow]) -> str:
    """Calibration errors and rank correlations as text, one table for each detector and protocol."""
    tables = []
    for source in dict.fromkeys(_source(row) for row in rows):
        own = [row for row in rows if _source(row) == source]
        lines: list[tuple[str, ...]] = [_CALIBRATION_HEADINGS]
        for row in own:
            if row.target == "hit":
                overlap = next(o for o in own if (o.confidence, o.target) == (row.confidence, "overlap"))
                errors = (decimals(found.expected_error) for found in (row, overlap))
                order = (decimals(row.kendall), decimals(row.spearman), str(row.ordered_images))
                lines.append((row.confidence, *errors, *order))
        table = "\n".join(aligned(lines))
        tables.append(
            f"calibration of {own[0].detector} on {own[0].split}, and order against the oracle:\n{table}"
        )
    return "\n\n".join(tables)


def _failure_line(row: FailureRow) -> tuple[str, ...]:
    share = f" ({100 * row.fixable / row.missed:.0f} %)" if row.missed else ""
    return (
        row.confidence,
        decimals(row.threshold),
        str(row.missed),
        f"{row.fixable}{share}",
        str(row.unreachable),
        *(str(number) for number in (row.duplicates, row.misplaced, row.background)),
    )


def _source(row: FailureRow | CalibrationRow) -> tuple[str, ...]:
    return row.split, row.detector, row.weights, row.protocol, row.fingerprint
