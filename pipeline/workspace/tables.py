"""Tables of results as Parquet files: the fields of a dataclass are the columns, an instance is a row."""

import io
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, is_dataclass
from typing import Any, Final, Generic, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.errors import UserError
from pipeline.workspace.place import Place, in_memory
from pipeline.workspace.writing import write_atomically

Row = TypeVar("Row")

_MADE_FROM: Final = b"made from"  # the record's key in the file's metadata
_NUMBERS: Final = {int: pa.int64(), int | None: pa.int64(), float: pa.float64()}


@dataclass(frozen=True, slots=True)
class Table(Generic[Row]):
    """One Parquet file; a field that is a nested dataclass becomes the columns of that dataclass."""

    path: Place
    row: type[Row]
    command: str
    """The command that makes the file (`crface ...`), for error messages."""
    is_nan_null: bool = True
    """Whether NaN is stored as null; within arrays it is always stored as NaN."""

    def write(self, rows: Sequence[Row], record: dict[str, Any] | None = None) -> None:
        """Replace the rows and the record of what they were computed from.

        Raises UserError when the file cannot be written.
        """
        try:
            write_atomically(self.path, self.encoded(rows, record))
        except OSError as error:
            raise UserError(f"cannot write the results {self.path}: {error.strerror or error}") from error

    def encoded(self, rows: Sequence[Row], record: dict[str, Any] | None = None) -> bytes:
        """The file's bytes."""
        values = [as_json(row) if self.is_nan_null else _flat(row) for row in rows]
        table = pa.Table.from_pylist(values, schema_of(self.row))
        if record is not None:
            table = table.replace_schema_metadata({_MADE_FROM: json.dumps(record)})
        buffer = io.BytesIO()
        pq.write_table(table, buffer, compression="zstd", write_page_checksum=True)
        return buffer.getvalue()

    def read(self) -> list[Row]:
        """The rows in their order, a null as NaN where the field is a float.

        Raises UserError when there is no file, or it is damaged or has other columns.
        """
        table = self._read()
        columns = [
            [item.values.to_numpy() for item in table.column(column.name)]
            if pa.types.is_list(column.type)
            else table.column(column.name).to_pylist()
            for column in table.schema
        ]
        names = table.schema.names
        return [
            _row_of(self.row, dict(zip(names, values, strict=True))) for values in zip(*columns, strict=True)
        ]

    def read_if_there(self) -> list[Row]:
        """The rows as `read` has them; none where there is no file.

        Raises UserError when the file is damaged or has other columns.
        """
        return self.read() if self.path.exists() else []

    def record(self) -> dict[str, Any]:
        """The record that was written with the rows; empty where there is no file.

        Raises UserError when the file is damaged, or has other columns or no record.
        """
        if not self.path.exists():
            return {}
        metadata = self._read().schema.metadata or {}
        if _MADE_FROM not in metadata:
            raise self._of_another_version()
        return dict(json.loads(metadata[_MADE_FROM]))

    def _read(self) -> Any:
        try:
            table = pq.read_table(in_memory(self.path), page_checksum_verification=True)
        except FileNotFoundError:
            raise UserError(f"there are no results {self.path}: run `{self.command}`") from None
        except (pa.ArrowException, OSError, ValueError) as error:
            raise UserError(
                f"the results {self.path} are damaged ({error}): run `{self.command}` again"
            ) from error
        if not table.schema.equals(schema_of(self.row)):
            raise self._of_another_version()
        return table

    def _of_another_version(self) -> UserError:
        return UserError(
            f"the results {self.path} do not have this version's columns: run `{self.command}` again"
        )


def schema_of(row: type[Any]) -> pa.Schema:
    """The columns of a dataclass's rows, in the order of its fields."""
    return pa.schema(list(_columns(row)))


def as_json(row: object) -> dict[str, Any]:
    """A row's values by the names of its columns, None for NaN; JSON values if it has no arrays."""
    return {name: None if _is_nan(value) else value for name, value in _flat(row).items()}


def _columns(row: type[Any]) -> Iterator[tuple[str, pa.DataType]]:
    for item in fields(row):
        kind: Any = item.type
        if is_dataclass(kind):
            yield from _columns(kind)  # type: ignore[arg-type]
        elif (dtypes := getattr(kind, "dtypes", None)) is not None:  # an array, typed by jaxtyping
            yield item.name, pa.list_(pa.from_numpy_dtype(dtypes[0]))
        else:
            yield item.name, _NUMBERS.get(kind, pa.string())


def _row_of(kind: type[Row], values: Mapping[str, Any]) -> Row:
    """The instance whose columns have these values."""
    return kind(**{
        item.name: _row_of(item.type, values)  # type: ignore[arg-type]
        if is_dataclass(item.type)
        else math.nan
        if item.type is float and values[item.name] is None
        else values[item.name]
        for item in fields(kind)  # type: ignore[arg-type]
    })  # fmt: skip


def _flat(row: Any) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name, value in asdict(row).items():
        values |= value if isinstance(value, dict) else {name: value}
    return values


def _is_nan(value: object) -> bool:
    return isinstance(value, float) and math.isnan(value)
