"""Completeness of a candidate store: what it lacks, and opening it for later stages, which need all of it."""

from pipeline.blocks.ledger import Ledger
from pipeline.blocks.plan import Block, describe, plan_blocks
from pipeline.blocks.set_aside import SetAside
from pipeline.blocks.store import CandidateStore
from pipeline.dataset.index import Index
from pipeline.errors import UserError
from pipeline.workspace.layout import CandidateKey, Workspace

_MAX_NAMED = 3


def missing_blocks(
    workspace: Workspace, index: Index, key: CandidateKey, block_images: int
) -> tuple[list[Block], int]:
    """The blocks that a candidate store lacks, and its block size: `block_images` unless the store exists.

    Raises UserError when the store or its ledger is damaged.
    """
    path = workspace.candidates(key)
    store = CandidateStore.open(path) if CandidateStore.exists(path) else None
    block_images = store.block_images if store else block_images
    blocks = plan_blocks(
        index.row_digests,
        Ledger(workspace.candidates_ledger(key)).read(),
        store.shard_bytes() if store else {},
        block_images,
        store.num_images if store else 0,
    )
    return blocks, block_images


def open_complete(workspace: Workspace, index: Index, key: CandidateKey) -> CandidateStore:
    """The candidates of `key`, for every image of the index as it is now.

    Raises UserError that counts the images without candidates or with those of an older file, or when there is
    no such store or its metadata is damaged.
    """
    store = CandidateStore.open(workspace.candidates(key))
    missing, _ = missing_blocks(workspace, index, key, store.block_images)
    if missing:
        aside = SetAside(workspace.candidates_ledger(key)).read(index.row_digests)
        named = [aside[block.number].words for block in missing if block.number in aside]
        if len(named) == len(missing):
            raise UserError(
                f"the candidates of {key.detector} on the {key.split} split are not complete: "
                f"{'; '.join(named[:_MAX_NAMED])} (set aside after failing too often); fix that and run "
                "`crface cache --retry-failed`"
            )
        is_import = store.attrs.get("parts", {}).get("stage") == "import"
        raise UserError(
            f"the candidates of {key.detector} on the {key.split} split are not complete: "
            f"{', '.join(describe(missing))}; run "
            f"`crface {'import-candidates' if is_import else 'cache'}` first"
        )
    return store
