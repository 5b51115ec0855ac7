"""The ledger of finished blocks: a block is done when its row is here, which is written after its shard.

A ledger is a folder of Parquet files. The worker that finishes a block writes one row to `block-000012.parquet`;
when no worker runs, the driver gathers them all into `blocks.parquet`. A block's own file takes precedence over
the gathered one, so a crash at any moment loses nothing, and nothing depends on clocks.
"""

import hashlib
import io
from collections.abc import Iterable
from dataclasses import asdict, dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.errors import UserError
from pipeline.workspace.place import Place, listed, remove_leftovers
from pipeline.workspace.writing import write_atomically

_SCHEMA = pa.schema(
    [
        ("block", pa.int64()),
        ("start", pa.int64()),
        ("stop", pa.int64()),
        ("row_digests", pa.list_(pa.string())),
        ("seconds", pa.float64()),
        ("worker", pa.string()),
        ("device", pa.string()),
        ("shard_bytes", pa.list_(pa.int64())),
        ("errors", pa.list_(pa.string())),
        ("finished_at", pa.string()),
        (
            "sha256",
            pa.string(),
        ),  # of the row's other values: Parquet's own checksums do not cover its metadata
    ]
)
_GATHERED = "blocks.parquet"
_GROUP_ROWS = 256  # the least a worker reads to find its block's row in the gathered file
_PART = "block-*.parquet"
_DAMAGE = (pa.ArrowException, OSError, ValueError, TypeError, KeyError)


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerRow:
    """What the ledger records about one finished block."""

    block: int
    start: int
    stop: int
    row_digests: tuple[str, ...]
    """The SHA-256 of the image each row was computed from, empty where there was none. No digests at all: the
    block is being rewritten, or that was interrupted."""
    seconds: float = 0.0
    worker: str = ""
    device: str = ""
    shard_bytes: tuple[int, ...] = ()
    """The sizes of the block's files, so that a missing or truncated one is found without reading it."""
    errors: tuple[str, ...] = ()
    """`path: reason` of every image that could not be computed."""
    finished_at: str = ""
    """When the block was finished, for people only: clocks differ, so nothing depends on it."""


@dataclass(frozen=True, slots=True)
class Ledger:
    """The finished blocks of one store; empty while its folder is absent."""

    folder: Place

    def read(self) -> dict[int, LedgerRow]:
        """Every finished block by number; one whose own file is damaged counts as unfinished.

        Raises UserError when the gathered file is damaged.
        """
        rows = {row.block: row for row in self._gathered()}
        for path in self._parts():
            number = int(path.stem.removeprefix("block-"))
            rows.pop(number, None)
            rows |= {row.block: row for row in _read_part(path)}
        return rows

    def row(self, block: int) -> LedgerRow | None:
        """One block's row, None if there is none; for the block's own writer."""
        part = self._part(block)
        rows = _read_part(part) if part.exists() else self._gathered([("block", "==", block)])
        return rows[0] if rows else None

    def commit(self, row: LedgerRow) -> None:
        """Record a block as finished; the last step of its writer, after the shard is complete."""
        write_atomically(self._part(row.block), encoded([row]))

    def withdraw(self, row: LedgerRow) -> None:
        """Mark a finished block unfinished before its shard is replaced, so that a half-replaced one is not done."""
        self.commit(LedgerRow(block=row.block, start=row.start, stop=row.stop, row_digests=()))

    def gather(self) -> None:
        """Put all rows in one file and remove the files it replaces; for the driver, while no worker runs.

        Raises UserError as `read` does.
        """
        parts = self._parts()
        if parts:
            rows = self.read()
            write_atomically(self.folder / _GATHERED, encoded(rows[number] for number in sorted(rows)))
            for path in parts:
                path.unlink()
        remove_leftovers(self.folder, ".*")

    def discard_damaged(self) -> list[Place]:
        """Remove damaged files, so that the blocks they record count as unfinished; returns their paths."""
        damaged = []
        for path in [*self._parts(), self.folder / _GATHERED]:
            try:
                _read(path)
            except FileNotFoundError:
                continue
            except _DAMAGE:
                path.unlink()
                damaged.append(path)
        return damaged

    def _part(self, block: int) -> Place:
        return self.folder / f"block-{block:06d}.parquet"

    def _parts(self) -> list[Place]:
        return listed(self.folder, _PART)

    def _gathered(self, filters: list[tuple[str, str, int]] | None = None) -> list[LedgerRow]:
        path = self.folder / _GATHERED
        try:
            return _read(path, filters)
        except FileNotFoundError:
            return []
        except _DAMAGE as error:
            why = str(error).partition("\n")[0]
            raise UserError(
                f"the ledger {path} is damaged ({why}): restore it, or let `crface cache --verify` (`crface rank "
                "--verify` for scores) compute everything again"
            ) from error


def _read_part(path: Place) -> list[LedgerRow]:
    try:
        return _read(path)
    except _DAMAGE:
        return []  # computing one block again is less trouble than asking


def _read(path: Place, filters: list[tuple[str, str, int]] | None = None) -> list[LedgerRow]:
    # an open file: given a folder's name, pyarrow would read everything in it
    with path.open("rb") as file:
        # read_table imports pyarrow.dataset first
        table = pq.read_table(file, filters=filters) if filters else pq.ParquetFile(file).read()
    columns = {name: table.column(name).to_pylist() for name in _SCHEMA.names}
    for name in ("row_digests", "shard_bytes", "errors"):
        columns[name] = [tuple(values) for values in columns[name]]
    checksums = columns.pop("sha256")
    values = zip(*columns.values(), strict=True)
    rows = [LedgerRow(**dict(zip(columns, row, strict=True))) for row in values]
    if [_checksum(row) for row in rows] != checksums:
        raise ValueError("its checksums do not match")
    return rows


def encoded(rows: Iterable[LedgerRow]) -> bytes:
    """The bytes of a ledger file with these rows, each with a checksum."""
    records = [{**asdict(row), "sha256": _checksum(row)} for row in rows]
    buffer = io.BytesIO()
    pq.write_table(
        pa.Table.from_pylist(records, schema=_SCHEMA), buffer, compression="zstd", row_group_size=_GROUP_ROWS
    )
    return buffer.getvalue()


def _checksum(row: LedgerRow) -> str:
    return hashlib.sha256(repr(row).encode()).hexdigest()
