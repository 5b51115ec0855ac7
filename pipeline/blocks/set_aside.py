"""Blocks that failed too often: which they are, why they failed, and on which images.

One JSON file beside a store's ledger, written only by the driver. A block stays set aside until its images
change or the user asks for another try; a record that is damaged or about other images has no effect.
"""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

from pipeline.blocks.plan import Block
from pipeline.workspace.place import Place
from pipeline.workspace.writing import write_atomically

_FILE = "set_aside.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class SetAsideBlock:
    """One block that is not tried again automatically."""

    block: int
    start: int
    stop: int
    reason: str
    """Why the block failed the last time."""
    inputs: str
    """A hash of the images it should have been computed from."""

    @property
    def words(self) -> str:
        """The images and the reason, as a line for people."""
        return f"images {self.start} to {self.stop - 1}: {self.reason}"


@dataclass(frozen=True, slots=True)
class SetAside:
    """The record of one store; `folder` is its ledger's."""

    folder: Place

    def read(self, row_digests: Sequence[str]) -> dict[int, SetAsideBlock]:
        """The blocks, by number, whose images are still those they failed on; `row_digests` are the index's."""
        try:
            records = json.loads((self.folder / _FILE).read_bytes())
            blocks = [SetAsideBlock(**record) for record in records]
            return {one.block: one for one in blocks if one.inputs == _hash(row_digests, one.start, one.stop)}
        except (FileNotFoundError, ValueError, TypeError):
            return {}  # another try is less trouble than asking

    def add(self, block: Block, reason: str, row_digests: Sequence[str]) -> SetAsideBlock:
        """Set a block aside from now on."""
        added = SetAsideBlock(
            block=block.number,
            start=block.start,
            stop=block.stop,
            reason=reason,
            inputs=_hash(row_digests, block.start, block.stop),
        )
        self.replace([*(self.read(row_digests) | {block.number: added}).values()])
        return added

    def replace(self, blocks: Iterable[SetAsideBlock]) -> None:
        """Set aside exactly these blocks; with none, the file is removed."""
        records = [asdict(block) for block in sorted(blocks, key=lambda block: block.block)]
        if records:
            write_atomically(self.folder / _FILE, json.dumps(records, indent=1).encode())
        else:
            (self.folder / _FILE).unlink(missing_ok=True)


def _hash(row_digests: Sequence[str], start: int, stop: int) -> str:
    return hashlib.sha256("\n".join([f"{start}:{stop}", *row_digests[start:stop]]).encode()).hexdigest()
