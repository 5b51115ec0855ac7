"""The results beside AP: `failures.parquet`, one row a group of faces, and `calibration.parquet`, one a diagram."""

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from jaxtyping import Float64, Int64

from pipeline.results.ap import Conditions, Origin
from pipeline.workspace.layout import Workspace
from pipeline.workspace.tables import Table

FAILURES: Final = "failures.parquet"
CALIBRATION: Final = "calibration.parquet"

Target = Literal["hit", "overlap"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureRow(Conditions):
    """What became of a group of faces at one operating point (paper 3.1)."""

    threshold: float
    """Of the confidence: the official threshold with the highest F1 in the setting. NaN, as the next two, where
    nothing is found at any."""
    precision: float
    recall: float
    group: str
    """What the faces are grouped by: all, height, or an attribute."""
    value: str
    """Which of these: all, "20-40 px", heavy, ..."""
    faces: int
    """Those that the setting keeps."""
    found: int
    fixable: int
    """Missed, though a stored candidate hits them: a better confidence would find them."""
    unreachable: int
    """Missed, and no candidate hits them."""
    detections: int | None
    """At or above the threshold, without those on ignored faces; None, as the next, except for all faces."""
    duplicates: int | None
    misplaced: int | None
    background: int | None

    @property
    def missed(self) -> int:
        """False negatives."""
        return self.fixable + self.unreachable


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationRow(Origin):
    """A reliability diagram of detections, and how far confidence orders candidates as the oracle does."""

    target: Target
    """What confidence is compared with: hit, whether the box overlaps a face by `iou`; overlap, by how much."""
    boxes: int
    expected_error: float
    """ECE, 0..1; NaN, as the next, without boxes."""
    largest_error: float
    kendall: float
    """Mean over images, of the candidates above the threshold; NaN, as the next, where there is nothing to order."""
    spearman: float
    ordered_images: int
    """Those that the means are over."""
    edges: Float64[np.ndarray, " bin_and_end"]
    count: Int64[np.ndarray, " bin"]
    mean_confidence: Float64[np.ndarray, " bin"]
    """NaN in an empty bin, as the next."""
    mean_target: Float64[np.ndarray, " bin"]


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
