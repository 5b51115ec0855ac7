"""Nothing rests on a lock: who owns a block writes it, and a block that two processes write is whole all the same."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import write_blocks
from places import ROOT, SUPPORT
from write_blocks import BLOCK_IMAGES, NUM_IMAGES, write_all

from pipeline.blocks.ledger import Ledger, LedgerRow
from pipeline.blocks.store import CandidateStore

NUM_PROCESSES = 8


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def recorded(folder: Path) -> dict[int, LedgerRow]:
    """The ledger without what tells of its writer."""
    rows = Ledger(folder / "ledger").read()
    return {
        number: replace(row, seconds=0.0, worker="", finished_at="") for number, row in sorted(rows.items())
    }


@pytest.mark.timeout(900)  # of a busy machine
def test_eight_processes_that_all_write_every_block_leave_the_store_of_one(tmp_path: Path) -> None:
    # as workers do that were given up for lost and went on: the blocks went to others meanwhile
    one, eight = tmp_path / "one", tmp_path / "eight"
    for folder in (one, eight):
        CandidateStore.create_or_grow(folder / "store", NUM_IMAGES, BLOCK_IMAGES, {})
    write_all(one, seed=0)
    processes = [
        subprocess.Popen(
            [sys.executable, write_blocks.__file__, str(eight), str(seed)],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (ROOT, SUPPORT)))},
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for seed in range(NUM_PROCESSES)
    ]  # fmt: skip
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()  # all are loaded, and begin at once
    complaints = [process.communicate()[1] for process in processes]
    assert [process.returncode for process in processes] == [0] * NUM_PROCESSES, complaints
    assert files(eight / "store") == files(one / "store")
    assert recorded(eight) == recorded(one)
    assert CandidateStore.open(eight / "store").shard_bytes() == {
        number: row.shard_bytes for number, row in recorded(eight).items()
    }
