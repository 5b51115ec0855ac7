"""One block of any stage carried out: wanted rows computed, the others kept, the shard replaced and recorded."""

import errno
import os
import socket
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from pipeline.blocks.ledger import Ledger, LedgerRow
from pipeline.blocks.plan import Block
from pipeline.blocks.store import DamagedBlockError, Rows, RowStore
from pipeline.errors import UserError

_FOR_THE_USER = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOENT)
"""No space, no permission, or no folder: every block would meet these, and none of them passes by itself."""


@dataclass(frozen=True, slots=True)
class ComputedRow:
    """What was computed for one image."""

    row: int
    values: Rows | None
    """The computed rows; None if nothing could be computed."""
    digest: str
    """The SHA-256 of the image it was computed from; empty makes the next run compute it again."""
    error: str = ""
    """`path: reason` if the user should be told; else empty."""


@dataclass(frozen=True, slots=True)
class BlockReport:
    """What a task reports to the driver: counts and messages, no arrays."""

    block: int
    num_images: int
    """The number of images computed or tried, without those kept."""
    seconds: float
    errors: tuple[str, ...]
    """`path: reason` of each image that could not be computed."""


def compute_block(
    store: RowStore,
    ledger: Ledger,
    block: Block,
    compute: Callable[[list[int]], Iterable[ComputedRow]],
    device: str,
) -> BlockReport:
    """Bring one block up to date; safe to repeat, and to kill at any moment and repeat.

    `compute` returns one result for each row it is asked for, in any order: the block's `rows`, plus those
    of the others for which the shard holds nothing. The ledger's row is withdrawn before the shard is replaced
    and written again afterwards, so that no half-written block counts as done.

    Raises UserError when the block cannot be written until the user acts, OSError when another try may suffice.
    """
    started = time.perf_counter()
    before = ledger.row(block.number)
    kept = _kept(store, block, before)
    wanted = [row for row in range(block.start, block.stop) if row not in kept]
    computed = {result.row: result for result in compute(wanted)}
    if sorted(computed) != wanted:
        raise ValueError(f"rows {sorted(computed)} were computed where {wanted} were asked for")
    results = kept | computed
    ordered = [results[row] for row in range(block.start, block.stop)]
    errors = tuple(result.error for result in ordered if result.error)
    try:
        if before is not None:
            ledger.withdraw(before)
        shard_bytes = store.write_block(block.start, [result.values for result in ordered])
        seconds = time.perf_counter() - started
        ledger.commit(
            LedgerRow(
                block=block.number,
                start=block.start,
                stop=block.stop,
                row_digests=tuple(result.digest for result in ordered),
                seconds=seconds,
                worker=f"{socket.gethostname()}:{os.getpid()}",
                device=device,
                shard_bytes=shard_bytes,
                errors=errors,
                finished_at=time.strftime("%Y-%m-%dT%H:%M:%S%z"),
            )
        )
    except OSError as error:
        if error.errno not in _FOR_THE_USER:
            raise  # perhaps a hiccup of the store: the block is tried again
        raise UserError(
            f"cannot write block {block.number} of {store.path}: {error.strerror or error}; fix that and "
            "run the same command again: finished blocks are kept"
        ) from error
    return BlockReport(block.number, len(wanted), seconds, errors)


def _kept(store: RowStore, block: Block, before: LedgerRow | None) -> dict[int, ComputedRow]:
    if before is None or len(block.rows) == block.stop - block.start:
        return {}
    try:
        stored = store.read_block(block.start)
    except DamagedBlockError:
        return {}
    asked = set(block.rows)
    rows = range(block.start, block.stop)
    recorded = zip(rows, stored, before.row_digests, strict=False)  # fewer where images were added
    return {
        row: ComputedRow(row, values, digest)
        for row, values, digest in recorded
        if row not in asked and values is not None
    }
