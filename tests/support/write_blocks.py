"""Write every block of a small store, in an order of one's own; one of several processes that do so at once.

`write_blocks.py FOLDER SEED`: says `ready`, and begins at a line of standard input.
"""

import random
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pipeline.blocks.commit import ComputedRow, compute_block
from pipeline.blocks.ledger import Ledger
from pipeline.blocks.plan import Block
from pipeline.blocks.store import CandidateStore

NUM_IMAGES, BLOCK_IMAGES = 22, 4


def computed(rows: Sequence[int]) -> list[ComputedRow]:
    """Give each row's candidates, which follow from its number alone."""
    found = []
    for row in rows:
        values = np.random.default_rng(row).uniform(0, 100, (50 * row, 5)).astype(np.float32)
        found.append(ComputedRow(row, values, f"digest {row}"))
    return found


def write_all(folder: Path, seed: int) -> None:
    """Write all blocks; a store must be there."""
    starts = list(range(0, NUM_IMAGES, BLOCK_IMAGES))
    random.Random(seed).shuffle(starts)
    store, ledger = CandidateStore.open(folder / "store"), Ledger(folder / "ledger")
    for start in starts:
        stop = min(start + BLOCK_IMAGES, NUM_IMAGES)
        compute_block(
            store, ledger, Block(start // BLOCK_IMAGES, start, stop, range(start, stop), ()), computed, "cpu"
        )


if __name__ == "__main__":
    print("ready", flush=True)
    sys.stdin.readline()
    write_all(Path(sys.argv[1]), int(sys.argv[2]))
