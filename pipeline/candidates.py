"""Cached candidates as later stages take them: all there, and of the images that the index lists."""

from pipeline.blocks import describe, plan_blocks
from pipeline.errors import UserError
from pipeline.index import Index
from pipeline.ledger import Ledger
from pipeline.store import CandidateStore
from pipeline.workspace import CandidateKey, Workspace


def open_complete(workspace: Workspace, index: Index, key: CandidateKey) -> CandidateStore:
    """Open the candidates of `key`; an image without any, or with those of an older file, is an error.

    Raises UserError that counts the images concerned, and where there is no such store or its metadata is
    damaged.
    """
    store = CandidateStore.open(workspace.candidates(key))
    missing = plan_blocks(
        index.row_digests,
        Ledger(workspace.candidates_ledger(key)).read(),
        store.shard_bytes(),
        store.block_images,
        store.num_images,
    )
    if missing:
        is_import = store.attrs.get("parts", {}).get("stage") == "import"
        raise UserError(
            f"the candidates of {key.detector} on the {key.split} split are not complete: "
            f"{', '.join(describe(missing))}; run "
            f"`crface {'import-candidates' if is_import else 'cache'}` first"
        )
    return store
