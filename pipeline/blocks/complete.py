"""What a store of candidates lacks; and candidates as later stages take them, all there and of the index's images."""

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
    """Give what a store of candidates lacks, and its block size: the given one unless the store exists.

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
    """Open the candidates of `key`; an image without any, or with those of an older file, is an error.

    Raises UserError that counts the images concerned, and where there is no such store or its metadata is
    damaged.
    """
    store = CandidateStore.open(workspace.candidates(key))
    missing, _ = missing_blocks(workspace, index, key, store.block_images)
    if missing:
        aside = SetAside(workspace.candidates_ledger(key)).read(index.row_digests)
        named = [aside[block.number].words for block in missing if block.number in aside]
        if len(named) == len(missing):
            raise UserError(
                f"the candidates of {key.detector} on the {key.split} split are not complete: "
                f"{'; '.join(named[:_MAX_NAMED])} (set aside after failing too often); mend that and run "
                "`crface cache --retry-failed`"
            )
        is_import = store.attrs.get("parts", {}).get("stage") == "import"
        raise UserError(
            f"the candidates of {key.detector} on the {key.split} split are not complete: "
            f"{', '.join(describe(missing))}; run "
            f"`crface {'import-candidates' if is_import else 'cache'}` first"
        )
    return store
