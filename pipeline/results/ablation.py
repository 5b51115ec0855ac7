"""What a sweep leaves in `results/`: the rows of each task, the rows of a whole sweep, and its table as text."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.errors import UserError
from pipeline.workspace.layout import Workspace
from pipeline.workspace.place import Place, in_memory
from pipeline.workspace.writing import write_atomically


@dataclass(frozen=True, slots=True, kw_only=True)
class AblationRow:
    """AP of one detector's candidates under one ranker, or under none."""

    split: str
    detector: str
    protocol: str
    confidence: str
    """ranked; predicted and oracle (over all candidates) where there is no ranker."""
    training: str
    """The fingerprint of the ranker's training, which names its folder; empty for none."""
    seconds: float
    """What training and measuring took where they ran; of a resumed training the last part."""
    ap_easy: float
    """Official AP, 0..1; NaN, as the next two, where the training diverged or the setting keeps no face."""
    ap_medium: float
    ap_hard: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepRow:
    """A row of a whole sweep: which setting and seed an `AblationRow` is of."""

    setting: str
    seed: int
    row: AblationRow

    def as_json(self) -> dict[str, Any]:
        """Give it as JSON values under the names of the columns, None for NaN."""
        values = {"setting": self.setting, "seed": self.seed, **asdict(self.row)}
        return {name: None if value != value else value for name, value in values.items()}


_COLUMNS: Final = [(f.name, pa.float64() if f.type is float else pa.string()) for f in fields(AblationRow)]
_SCHEMA: Final = pa.schema(_COLUMNS)
_SWEEP_SCHEMA: Final = pa.schema([("setting", pa.string()), ("seed", pa.int64()), *_COLUMNS])


def task_file(workspace: Workspace, fingerprint: str) -> Place:
    """Give the file of one task's rows."""
    return workspace.results / "ablation" / f"{fingerprint}.parquet"


def read_rows(workspace: Workspace, fingerprint: str) -> list[AblationRow] | None:
    """Read one task's rows; None if it is not done, or what is there cannot be read."""
    try:
        table = pq.read_table(in_memory(task_file(workspace, fingerprint)), page_checksum_verification=True)
    except (OSError, pa.ArrowException):
        return None
    if not table.schema.equals(_SCHEMA):
        return None
    return [AblationRow(**row) for row in table.to_pylist()]


def write_rows(workspace: Workspace, fingerprint: str, rows: Sequence[AblationRow]) -> None:
    """Write one task's rows, whole or not at all: where they are, the task is done.

    Raises UserError when they cannot be written.
    """
    _write(task_file(workspace, fingerprint), [asdict(row) for row in rows], _SCHEMA)


def write_sweep(workspace: Workspace, sweep: str, rows: Sequence[SweepRow], text: str) -> Place:
    """Write `results/ablation-<sweep>.parquet` and the table as `.txt`; gives the latter.

    Raises UserError when they cannot be written.
    """
    path = workspace.results / f"ablation-{sweep}.parquet"
    _write(path, [row.as_json() for row in rows], _SWEEP_SCHEMA)
    as_text = workspace.results / f"ablation-{sweep}.txt"
    write_atomically(as_text, (text + "\n").encode())
    return as_text


def _write(path: Place, rows: Sequence[Mapping[str, Any]], schema: pa.Schema) -> None:
    buffer = io.BytesIO()
    pq.write_table(
        pa.Table.from_pylist(list(rows), schema), buffer, compression="zstd", write_page_checksum=True
    )
    try:
        write_atomically(path, buffer.getvalue())
    except OSError as error:
        raise UserError(f"cannot write the results {path}: {error.strerror or error}") from error
