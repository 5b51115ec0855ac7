"""The stage that refines cached candidates with a ranker, block by block, into the score store."""

import platform
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from pipeline.blocks.commit import BlockReport, ComputedRow, compute_block
from pipeline.blocks.complete import open_complete
from pipeline.blocks.decoding import decoded_images
from pipeline.blocks.ledger import Ledger
from pipeline.blocks.plan import Block, describe, num_to_compute, plan_blocks
from pipeline.blocks.store import CandidateStore, ImageUnreadable, ScoreStore
from pipeline.dataset.index import Index, planned_rows
from pipeline.errors import UserError
from pipeline.images.decode import DECODING, MAX_PIXELS
from pipeline.workspace.fingerprint import Parts, file_sha256, fingerprint
from pipeline.workspace.layout import CandidateKey, Workspace
from pipeline.workspace.place import Place, local_copy

if TYPE_CHECKING:
    from crface.ranker import Ranker

RANK_VERSION: Final = 1
"""Raised when the code changes in a way that changes refined confidences."""


@dataclass(frozen=True, slots=True)
class RankSpec:
    """What every block of one ranking run shares; a few hundred bytes, sent along with each block."""

    workspace: Workspace
    key: CandidateKey
    """The candidates."""
    ranker_file: Place
    """Absolute; every worker reads it."""
    ranker: str
    """The ranker's fingerprint, which the scores are filed under."""
    index_digest: str
    """Of the index that the blocks were planned from."""


@dataclass(frozen=True, slots=True)
class RankPlan:
    """What a ranking run would do; made without writing anything and without loading the ranker."""

    spec: RankSpec
    index: Index
    blocks: list[Block]
    parts: Parts
    """What the ranker's fingerprint is made of."""
    block_images: int
    """The candidates' block size, so that a task reads one shard and writes one."""

    @property
    def reasons(self) -> list[str]:
        """Why there is something to do, in words; empty when everything is done."""
        return describe(self.blocks)

    @property
    def num_to_compute(self) -> int:
        """The images that will be computed."""
        return num_to_compute(self.blocks)


def identify_ranker(ranker_file: Place) -> Parts:
    """Give everything that decides refined confidences besides image and candidates, as JSON values.

    A ranker is known by its bytes, wherever it lies: trained here or brought along.

    Raises UserError when the file cannot be read.
    """
    try:
        sha256 = file_sha256(ranker_file)
    except OSError as error:
        raise UserError(
            f"cannot read the ranker {ranker_file}: {error.strerror}; train one with `crface train`"
        ) from error
    return {"stage": "rank", "version": RANK_VERSION, "weights": sha256, "decoding": DECODING}


def plan_rank(
    workspace: Workspace, index: Index, key: CandidateKey, ranker_file: Place, block_images: int
) -> RankPlan:
    """Say which blocks of these candidates lack this ranker's refined confidences, and why.

    A row is computed again when its image's hash changes; other candidates or another ranker are another
    store. `block_images` is used where the candidates are not stored yet.

    Raises UserError when the ranker cannot be read, or a store or its ledger is damaged.
    """
    parts = identify_ranker(ranker_file)
    spec = RankSpec(workspace, key, ranker_file.absolute(), fingerprint(parts), index.digest)
    candidates, scores = workspace.candidates(key), workspace.scores(key, spec.ranker)
    store = ScoreStore.open(scores) if ScoreStore.exists(scores) else None
    if store is not None:
        block_images = store.block_images
    elif CandidateStore.exists(candidates):
        block_images = CandidateStore.open(candidates).block_images
    blocks = plan_blocks(
        index.row_digests,
        Ledger(workspace.scores_ledger(key, spec.ranker)).read(),
        store.shard_bytes() if store else {},
        block_images,
        store.num_images if store else 0,
    )
    return RankPlan(spec, index, blocks, parts, block_images)


def prepare_rank(plan: RankPlan) -> None:
    """Make or resize the score store of a plan; for the driver, before any worker starts.

    Raises UserError when the candidates are not complete, the file is no ranker, or the store cannot be
    written.
    """
    spec = plan.spec
    open_complete(spec.workspace, plan.index, spec.key)
    model = _loaded(spec.ranker_file)
    attrs: dict[str, Any] = {
        "ranker": model.name,
        "num_candidates": model.num_candidates,
        "image_side_px": model.image_side_px,
        "candidates": spec.key.fingerprint,
        "parts": plan.parts,
        "dataset": spec.index_digest,
    }
    path = spec.workspace.scores(spec.key, spec.ranker)
    try:
        ScoreStore.create_or_grow(path, len(plan.index), plan.block_images, attrs)
    except OSError as error:
        raise UserError(f"cannot make the store {path}: {error.strerror or error}") from error


def finish_rank(plan: RankPlan) -> None:
    """Gather the ledger into one file; for the driver, when no worker runs, however the run ended."""
    Ledger(plan.spec.workspace.scores_ledger(plan.spec.key, plan.spec.ranker)).gather()


def rank_block(spec: RankSpec, block: Block) -> BlockReport:
    """Refine a block's candidates and commit their scores; an image that cannot be read is named, no more.

    The ranker is loaded once per process, onto a GPU if this process sees one.

    Raises UserError when this process sees another ranker or index than the driver, when candidates are
    missing, or when the scores cannot be written.
    """
    import torch  # here, not above: only workers need it, and it takes a plan's time to load

    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = _model(spec.ranker_file, spec.ranker, device)
    index = planned_rows(spec.workspace, spec.key.split, spec.index_digest, block.start, block.stop)
    candidates = CandidateStore.open(spec.workspace.candidates(spec.key))

    def compute(rows: list[int]) -> Iterator[ComputedRow]:
        for image in decoded_images(index, rows, MAX_PIXELS):
            if isinstance(image, ComputedRow):
                yield image
                continue
            row = image.row
            try:
                found = candidates.read(row.row)
            except ImageUnreadable:
                yield ComputedRow(row.row, None, row.sha256, f"{row.path}: it has no candidates")
                continue
            try:
                refined = model.refine(image.pixels, found)
            except Exception as error:
                error.add_note(row.path)  # the block will be set aside for this image
                raise
            yield ComputedRow(row.row, refined, row.sha256)

    return compute_block(
        ScoreStore.open(spec.workspace.scores(spec.key, spec.ranker)),
        Ledger(spec.workspace.scores_ledger(spec.key, spec.ranker)),
        block,
        compute,
        torch.cuda.get_device_name() if device == "cuda" else "cpu",
    )


def _loaded(path: Place) -> "Ranker":
    from crface import ranker

    try:
        with local_copy(path) as file:
            return ranker.load(file)
    except ValueError as error:
        raise UserError(str(error)) from error


@lru_cache(maxsize=1)  # one in memory; the next run on this worker may bring another
def _model(path: Place, expected: str, device: str) -> "Ranker":
    if fingerprint(identify_ranker(path)) != expected:
        raise UserError(
            f"a worker on {platform.node()} sees another ranker in {path} than this command: "
            "give every worker the same installation and the same file"
        )
    return _loaded(path).to(device)
