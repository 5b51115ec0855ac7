"""Fusion of a protocol's views: one set of candidates from the stored candidates of each, block by block."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from detectors.protocols import FUSION_VERSION, Fusion, fuse
from pipeline.blocks.commit import BlockReport, ComputedRow, compute_block
from pipeline.blocks.ledger import Ledger
from pipeline.blocks.plan import Block
from pipeline.blocks.store import CandidateStore, ImageUnreadable, Rows
from pipeline.dataset.index import ImageRow, planned_rows
from pipeline.workspace.fingerprint import Parts, fingerprint
from pipeline.workspace.layout import CandidateKey, Workspace


@dataclass(frozen=True, slots=True)
class FuseSpec:
    """What all blocks of one fusion run share; a few hundred bytes, sent with each block."""

    workspace: Workspace
    key: CandidateKey
    """The key of the fused candidates."""
    views: tuple[CandidateKey, ...]
    """The keys of the candidates that are fused, in the protocol's order."""
    fusion: Fusion
    index_digest: str
    """The digest of the index that the blocks were planned from."""


def fuse_parts(views: Sequence[Parts], fusion: Fusion) -> dict[str, Any]:
    """Everything that decides fused candidates: what decides each view's, and the fusion."""
    return {
        "stage": "fuse",
        "version": FUSION_VERSION,
        "detector": views[0]["detector"],
        "views": {view["protocol"]: fingerprint(view) for view in views},
        "order": [view["protocol"] for view in views],  # decides between equal confidences
        "fusion": fusion.as_parts(),
    }


def fuse_block(spec: FuseSpec, block: Block) -> BlockReport:
    """Fuse the views' candidates for a block's images and commit the result; no detector is needed.

    An image without candidates in some view is named and left out: for good if it is unreadable, until the next
    run if that view has not been computed yet.

    Raises UserError when this process sees a different index from the driver's, a view has no store, or the
    result cannot be written.
    """
    index = planned_rows(spec.workspace, spec.key.split, spec.index_digest, block.start, block.stop)
    views = [_View(spec.workspace, key) for key in spec.views]

    def compute(rows: list[int]) -> Iterator[ComputedRow]:
        for row in rows:
            yield _fused(index.row(row), views, spec.fusion)

    return compute_block(
        CandidateStore.open(spec.workspace.candidates(spec.key)),
        Ledger(spec.workspace.candidates_ledger(spec.key)),
        block,
        compute,
        "cpu",
    )


class _View:
    """The stored candidates of one view, and what each row was computed from."""

    def __init__(self, workspace: Workspace, key: CandidateKey) -> None:
        self.name = key.protocol
        self._store = CandidateStore.open(workspace.candidates(key))
        self._ledger = Ledger(workspace.candidates_ledger(key))
        self._digests: dict[int, tuple[str, ...]] = {}

    def digest(self, row: int) -> str:
        """The hash of the image that a row's candidates were computed from; empty if it has none."""
        number, position = divmod(row, self._store.block_images)
        if number not in self._digests:
            recorded = self._ledger.row(number)
            self._digests[number] = recorded.row_digests if recorded else ()
        digests = self._digests[number]
        return digests[position] if position < len(digests) else ""

    def read(self, row: int) -> Rows:
        """A row's candidates. Raises what the store raises."""
        return self._store.read(row)


def _fused(row: ImageRow, views: Sequence[_View], fusion: Fusion) -> ComputedRow:
    if row.status != "ok":
        return ComputedRow(row.row, None, "", "" if row.status == "removed" else f"{row.path}: {row.reason}")
    missing = [view.name for view in views if view.digest(row.row) != row.sha256]
    if missing:
        return ComputedRow(row.row, None, "", f"{row.path}: no candidates yet under {', '.join(missing)}")
    try:
        return ComputedRow(row.row, fuse([view.read(row.row) for view in views], fusion), row.sha256)
    except ImageUnreadable:
        return ComputedRow(row.row, None, row.sha256, f"{row.path}: it has no candidates")
