"""A Parquet table of results that carries the record of what it was computed from: the two are never at odds."""

import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.errors import UserError
from pipeline.workspace.place import Place, in_memory
from pipeline.workspace.writing import write_atomically

_MADE_FROM: Final = b"made from"  # in the file's metadata


@dataclass(frozen=True, slots=True)
class RecordedTable:
    """One such file; empty while it is not there. NaN is stored as null."""

    path: Place
    schema: pa.Schema
    command: str
    """What makes it, for messages: `crface ...`."""

    def write(self, rows: Sequence[Mapping[str, Any]], record: Mapping[str, Any]) -> None:
        """Replace rows and record.

        Raises UserError when the file cannot be written.
        """
        values = [{key: None if value != value else value for key, value in row.items()} for row in rows]
        table = pa.Table.from_pylist(values, self.schema)
        buffer = io.BytesIO()
        pq.write_table(
            table.replace_schema_metadata({_MADE_FROM: json.dumps(record)}),
            buffer,
            compression="zstd",
            write_page_checksum=True,
        )
        try:
            write_atomically(self.path, buffer.getvalue())
        except OSError as error:
            raise UserError(f"cannot write the results {self.path}: {error.strerror or error}") from error

    def rows(self) -> list[dict[str, Any]]:
        """Read the rows in their order, NaN for null.

        Raises UserError when the file is damaged.
        """
        rows: list[dict[str, Any]] = self._read().to_pylist() if self.path.exists() else []
        return [{key: math.nan if value is None else value for key, value in row.items()} for row in rows]

    def record(self) -> dict[str, Any]:
        """Read what `write` was given.

        Raises UserError when the file is damaged.
        """
        return dict(json.loads(self._read().schema.metadata[_MADE_FROM])) if self.path.exists() else {}

    def _read(self) -> Any:
        again = f"run `{self.command}` again"
        try:
            table = pq.read_table(in_memory(self.path), page_checksum_verification=True)
        except (pa.ArrowException, OSError, ValueError) as error:
            raise UserError(f"the results {self.path} are damaged ({error}): {again}") from error
        if not table.schema.equals(self.schema) or _MADE_FROM not in (table.schema.metadata or {}):
            raise UserError(f"the results {self.path} have not this version's columns: {again}")
        return table
