"""The results beside AP: `failures.parquet`, one row a group of faces, and `calibration.parquet`, one a diagram."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Final, Literal

import numpy as np
import pyarrow as pa
from jaxtyping import Float64, Int64

from pipeline.results.ap import Conditions, Origin, read_table
from pipeline.workspace.layout import Workspace

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


_ARRAYS: Final = {
    "edges": pa.float64(),
    "count": pa.int64(),
    "mean_confidence": pa.float64(),
    "mean_target": pa.float64(),
}
_KINDS: Final[Mapping[Any, pa.DataType]] = {int: pa.int64(), int | None: pa.int64(), float: pa.float64()}


def _schema(row: type[FailureRow] | type[CalibrationRow]) -> pa.Schema:
    return pa.schema(
        [
            (
                item.name,
                pa.list_(_ARRAYS[item.name]) if item.name in _ARRAYS else _KINDS.get(item.type, pa.string()),
            )
            for item in fields(row)
        ]
    )


def failure_table(rows: Sequence[FailureRow]) -> pa.Table:
    """Give the rows as a table, null for NaN and None."""
    return pa.Table.from_pylist([_plain(asdict(row)) for row in rows], _schema(FailureRow))


def calibration_table(rows: Sequence[CalibrationRow]) -> pa.Table:
    """Give the rows as a table, null for a NaN outside the diagrams."""
    return pa.Table.from_pylist([_plain(asdict(row)) for row in rows], _schema(CalibrationRow))


def read_failures(workspace: Workspace) -> list[FailureRow]:
    """Read `failures.parquet` back.

    Raises UserError when there is none, or it is damaged.
    """
    table = read_table(workspace.results / FAILURES, _schema(FailureRow))
    return [FailureRow(**_with_nan(row, FailureRow)) for row in table.to_pylist()]


def read_calibration(workspace: Workspace) -> list[CalibrationRow]:
    """Read `calibration.parquet` back.

    Raises UserError when there is none, or it is damaged.
    """
    table = read_table(workspace.results / CALIBRATION, _schema(CalibrationRow))
    return [
        CalibrationRow(
            **_with_nan(row, CalibrationRow)
            | {name: np.array(row[name], np.int64 if name == "count" else np.float64) for name in _ARRAYS}
        )
        for row in table.to_pylist()
    ]


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    return {
        name: None if isinstance(value, float) and value != value else value for name, value in row.items()
    }


def _with_nan(row: dict[str, Any], kind: type[FailureRow] | type[CalibrationRow]) -> dict[str, Any]:
    is_float = {item.name for item in fields(kind) if item.type is float}
    return {name: math.nan if value is None and name in is_float else value for name, value in row.items()}
