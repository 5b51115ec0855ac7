"""The record of finished blocks survives crashes and says nothing that was not finished."""

import hashlib
import os
import re
from pathlib import Path
from typing import BinaryIO

import psutil
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.blocks.ledger import Ledger, LedgerRow, encoded
from pipeline.errors import UserError
from pipeline.workspace.writing import write_atomically


def row(block: int, *digests: str) -> LedgerRow:
    return LedgerRow(
        block=block,
        start=block * 4,
        stop=block * 4 + len(digests),
        row_digests=digests,
        seconds=1.5,
        worker="host:1",
        device="cpu",
        shard_bytes=(1000, 20),
        errors=("parade/a.jpg: it is cut short",),
        finished_at="2026-01-01T00:00:00+0000",
    )


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "ledger")


def test_a_ledger_that_nothing_was_written_to_has_no_blocks(ledger: Ledger) -> None:
    assert ledger.read() == {}
    assert ledger.row(0) is None
    ledger.gather()
    assert not ledger.folder.exists()


def test_what_is_committed_is_read_before_and_after_gathering(ledger: Ledger) -> None:
    rows = {0: row(0, "a", "", "c", "d"), 1: row(1, "e")}
    for one in rows.values():
        ledger.commit(one)
    assert ledger.read() == rows
    ledger.gather()
    assert [path.name for path in ledger.folder.iterdir()] == ["blocks.parquet"]
    assert ledger.read() == rows
    assert ledger.row(1) == rows[1]
    assert ledger.row(2) is None


def test_the_last_commit_of_a_block_wins(ledger: Ledger) -> None:
    ledger.commit(row(0, "old"))
    ledger.commit(row(1, "kept"))
    ledger.gather()
    ledger.commit(row(0, "new"))
    assert ledger.read() == {0: row(0, "new"), 1: row(1, "kept")}
    assert ledger.row(0) == row(0, "new")
    ledger.gather()
    assert ledger.read() == {0: row(0, "new"), 1: row(1, "kept")}


def test_a_crash_between_gathering_and_removing_changes_nothing(ledger: Ledger) -> None:
    ledger.commit(row(0, "a"))
    part = next(ledger.folder.iterdir())
    content = part.read_bytes()
    ledger.gather()
    part.write_bytes(content)
    assert ledger.read() == {0: row(0, "a")}
    ledger.gather()
    assert ledger.read() == {0: row(0, "a")}


def test_a_withdrawn_block_vouches_for_nothing_even_after_gathering(ledger: Ledger) -> None:
    ledger.commit(row(0, "a"))
    ledger.gather()
    ledger.withdraw(row(0, "a"))
    assert ledger.read()[0].row_digests == ()
    ledger.gather()
    assert ledger.read()[0].row_digests == ()


def test_a_damaged_record_of_one_block_unmakes_that_block_alone(ledger: Ledger) -> None:
    ledger.commit(row(0, "a"))
    ledger.commit(row(1, "b"))
    ledger.gather()
    ledger.commit(row(1, "c"))
    (part,) = ledger.folder.glob("block-*")
    part.write_bytes(part.read_bytes()[:-100])
    assert ledger.read() == {0: row(0, "a")}
    assert ledger.row(1) is None


@given(bit=st.integers(0, 10**6))
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_flipped_bit_in_the_gathered_ledger_is_found_or_did_no_harm(ledger: Ledger, bit: int) -> None:
    path = ledger.folder / "blocks.parquet"
    if not path.exists():
        ledger.commit(row(0, *"abcd"))
        ledger.commit(row(1, "e"))
        ledger.gather()
    content = path.read_bytes()
    damaged = bytearray(content)
    damaged[bit // 8 % len(content)] ^= 1 << bit % 8
    path.write_bytes(damaged)
    try:
        assert ledger.read() == {0: row(0, *"abcd"), 1: row(1, "e")}
    except UserError as error:
        assert re.search(r"blocks\.parquet is damaged .*`crface cache --verify`", str(error))  # noqa: PT017 - either is right
    finally:
        path.write_bytes(content)


def test_a_cut_gathered_ledger_is_an_error_that_names_it(ledger: Ledger) -> None:
    ledger.commit(row(0, *"abcd"))
    ledger.gather()
    path = ledger.folder / "blocks.parquet"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(UserError, match=r"blocks\.parquet is damaged .*`crface cache --verify`"):
        ledger.read()


def test_a_writer_of_very_many_blocks_needs_no_more_memory_than_of_a_few(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    # a Parquet file that grows by a row group a block keeps 10 kB of each until it is closed: 5 MB here
    monkeypatch.setattr(os, "fsync", lambda _: None)  # which takes nearly all of the time
    process = psutil.Process()
    digests = [hashlib.sha256(bytes([i])).hexdigest() for i in range(32)]

    def commit(numbers: range) -> int:
        for number in numbers:
            ledger.commit(row(number, *digests))
        return process.memory_info().rss

    before = commit(range(100))
    after = commit(range(100, 600))
    assert after - before < 2.5 * 2**20
    ledger.gather()
    assert len(ledger.read()) == 600


def test_what_a_killed_writer_left_is_ignored_and_removed(ledger: Ledger) -> None:
    ledger.commit(row(0, "a"))
    leftover = ledger.folder / ".block-000001.parquet.x1y2"
    leftover.write_bytes(b"half")
    assert ledger.read() == {0: row(0, "a")}
    ledger.gather()
    assert not leftover.exists()


def test_a_gathered_ledger_of_sixteen_thousand_images_is_one_file_that_is_read_once(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    digests = [hashlib.sha256(bytes([i])).hexdigest() for i in range(32)]
    rows = {number: row(number, *digests) for number in range(503)}
    write_atomically(ledger.folder / "blocks.parquet", encoded(rows.values()))
    read: list[BinaryIO] = []
    parquet_file = pq.ParquetFile

    def counted(file: BinaryIO) -> pq.ParquetFile:
        read.append(file)
        return parquet_file(file)

    monkeypatch.setattr(pq, "ParquetFile", counted)
    assert ledger.read() == rows
    assert [file.name for file in read] == [str(ledger.folder / "blocks.parquet")]
