"""Which blocks a stage has to compute, and why: decided from records before anything starts."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from pipeline.blocks.ledger import LedgerRow


class Cause(StrEnum):
    """Why an image is computed; the value completes the sentence "3 images ..."."""

    NEW = "not computed yet"
    UNFINISHED = "left unfinished"
    DAMAGED = "in a missing or damaged shard"
    CHANGED = "changed"
    ADDED = "added"


@dataclass(frozen=True, slots=True)
class Block:
    """Rows `start:stop` of a store, written as one shard by exactly one task; small enough for a message."""

    number: int
    start: int
    stop: int
    rows: Sequence[int]
    """Those to compute now, ascending, never empty; the others of `start:stop` keep what the shard has."""
    causes: tuple[tuple[Cause, int], ...]
    """How many of `rows` are computed for which cause; no row is counted twice."""

    @property
    def reason(self) -> str:
        """Why the block is computed, in words: `3 images changed, 10 images added`."""
        return ", ".join(describe([self]))


def plan_blocks(
    row_digests: Sequence[str],
    ledger: Mapping[int, LedgerRow],
    shard_bytes: Mapping[int, tuple[int, ...]],
    block_images: int,
    num_stored: int = 0,
) -> list[Block]:
    """List the blocks with anything to compute, in order of rows; empty when everything is done.

    `row_digests` tell what each row has to be computed from (empty: there is nothing, and what is stored
    stays) and `ledger` what it was computed from; `shard_bytes` are the sizes of the files that are there,
    and `num_stored` the rows that the store has room for now (0: there is no store). A block without a
    ledger row is not done, whatever its shard holds; one whose files have other sizes than recorded is
    damaged as a whole; of any other, rows with another digest are computed.
    """
    blocks = []
    for number, start in enumerate(range(0, len(row_digests), block_images)):
        wanted = row_digests[start : start + block_images]
        causes = _causes(wanted, start, ledger.get(number), shard_bytes.get(number, ()), num_stored)
        if causes:
            counts = Counter(causes.values())
            ordered = tuple((cause, counts[cause]) for cause in Cause if counts[cause])
            blocks.append(Block(number, start, start + len(wanted), _compact(list(causes)), ordered))
    return blocks


def num_to_compute(blocks: Iterable[Block]) -> int:
    """Count the images that these blocks compute, not those that they keep."""
    return sum(len(block.rows) for block in blocks)


def describe(blocks: Iterable[Block]) -> list[str]:
    """Say why these blocks are computed, one phrase a cause: `3 images changed`; empty for no block."""
    counts: Counter[Cause] = Counter()
    for block in blocks:
        counts.update(dict(block.causes))
    return [f"{counts[cause]} image{'s' * (counts[cause] != 1)} {cause}" for cause in Cause if counts[cause]]


def _causes(
    wanted: Sequence[str], start: int, done: LedgerRow | None, found_bytes: tuple[int, ...], num_stored: int
) -> dict[int, Cause]:
    rows = range(start, start + len(wanted))
    if done is None or done.start != start:
        return {row: Cause.ADDED if 0 < num_stored <= row else Cause.NEW for row in rows}
    if not done.row_digests:
        return dict.fromkeys(rows, Cause.UNFINISHED)
    if done.shard_bytes != found_bytes:
        return dict.fromkeys(rows, Cause.DAMAGED)
    num_recorded = len(done.row_digests)
    return {
        row: Cause.ADDED if i >= num_recorded else Cause.CHANGED
        for i, (row, digest) in enumerate(zip(rows, wanted, strict=True))
        if i >= num_recorded or digest not in ("", done.row_digests[i])
    }


def _compact(rows: list[int]) -> Sequence[int]:
    # most blocks are computed whole: a range stays small in a message, however many rows it has
    whole = range(rows[0], rows[-1] + 1)
    return whole if len(whole) == len(rows) else tuple(rows)
