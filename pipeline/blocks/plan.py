"""The blocks a stage has to compute, and why: decided from records before any work starts."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from pipeline.blocks.ledger import LedgerRow
from pipeline.blocks.trust import is_same_image


class Cause(StrEnum):
    """Why an image has to be computed; the value completes the sentence "3 images ..."."""

    NEW = "not computed yet"
    UNFINISHED = "left unfinished"
    DAMAGED = "in a missing or damaged shard"
    CHANGED = "changed"
    TRUST = "refined with another trust, other opinions, or another threshold"
    ADDED = "added"


@dataclass(frozen=True, slots=True)
class Block:
    """Rows `start:stop` of a store, which exactly one task writes as one shard; small enough for a message."""

    number: int
    start: int
    stop: int
    rows: Sequence[int]
    """The rows to compute now, ascending, never empty; the others in `start:stop` keep what the shard has."""
    causes: tuple[tuple[Cause, int], ...]
    """How many of `rows` are computed for each cause; no row is counted twice."""

    @property
    def reason(self) -> str:
        """Why the block has to be computed, in words: `3 images changed, 10 images added`."""
        return ", ".join(describe([self]))


def plan_blocks(
    row_digests: Sequence[str],
    ledger: Mapping[int, LedgerRow],
    shard_bytes: Mapping[int, tuple[int, ...]],
    block_images: int,
    num_stored: int = 0,
) -> list[Block]:
    """The blocks with anything to compute, in order of rows; empty when everything is done.

    `row_digests` are what each row must be computed from (empty: nothing, and what is stored stays), `ledger`
    is what it was computed from. `shard_bytes` are the sizes of the existing files, and `num_stored` is the
    number of rows the store has room for (0: there is no store). A block without a ledger row is not done,
    whatever its shard holds; a block whose files differ in size from the record is damaged as a whole; in any
    other block, the rows whose digest differs are computed.
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
    """The number of images that these blocks compute, without those they keep."""
    return sum(len(block.rows) for block in blocks)


def describe(blocks: Iterable[Block]) -> list[str]:
    """Why these blocks are computed, one phrase per cause such as `3 images changed`; empty for no blocks."""
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
    recorded = dict(zip(rows, done.row_digests, strict=False))
    return {
        row: cause
        for row, digest in zip(rows, wanted, strict=True)
        if (cause := _cause(digest, recorded.get(row))) is not None
    }


def _cause(wanted: str, recorded: str | None) -> Cause | None:
    """Why a row of a finished block has to be computed; None where it is up to date, or there is no image."""
    if recorded is None:
        return Cause.ADDED
    if wanted in ("", recorded):
        return None
    return Cause.TRUST if is_same_image(wanted, recorded) else Cause.CHANGED


def _compact(rows: list[int]) -> Sequence[int]:
    # most blocks are computed whole, and a range stays small in a message however many rows it has
    whole = range(rows[0], rows[-1] + 1)
    return whole if len(whole) == len(rows) else tuple(rows)
