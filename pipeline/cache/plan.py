"""The plan of the cache stage: which blocks lack candidates, and why. Writes nothing and loads no detector.

`pipeline.cache.work` computes the planned blocks. Each view of a protocol has a store of its own. With several
views, their fusion has one more store, made from theirs (`pipeline.cache.fuse`), so that a different fusion
needs no forward pass.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import detectors
from detectors.base import Precision
from detectors.protocols import RESIZING, DetectionProtocol, View, of_view
from pipeline.blocks.complete import missing_blocks
from pipeline.blocks.plan import Block, describe, num_to_compute
from pipeline.cache.fuse import FuseSpec, fuse_parts
from pipeline.cache.protocols import limit_note, protocol_for
from pipeline.config.sections import CacheConfig
from pipeline.dataset.index import Index
from pipeline.errors import UsageError
from pipeline.images.decode import DECODING
from pipeline.workspace.fingerprint import Parts, fingerprint
from pipeline.workspace.layout import CandidateKey, Workspace

CACHE_VERSION: Final = 1
"""Raised when this module changes in a way that changes what is stored."""


@dataclass(frozen=True, slots=True)
class CacheSpec:
    """What all blocks of one view's cache run share; a few hundred bytes, sent with each block."""

    workspace: Workspace
    key: CandidateKey
    detector: str
    """The detector as `detectors.create` takes it; the path of a weights file in it is absolute."""
    view: View
    precision: Precision
    index_digest: str
    """The digest of the index that the blocks were planned from."""
    max_pixels: int


@dataclass(frozen=True, slots=True)
class CachePlan:
    """What a cache run would do; made without writing anything and without loading a detector."""

    key: CandidateKey
    spec: CacheSpec | FuseSpec
    """The argument of `cache_block` for a single view, of `fuse_block` for several."""
    blocks: list[Block]
    parts: Parts
    """What the key's fingerprint is computed from."""
    num_images: int
    block_images: int
    """Images per block: those of an existing store, which keeps its block size, or the configuration's."""
    input_size: str
    """The sizes at which the detector sees an image, in words."""
    views: tuple["CachePlan", ...] = ()
    """The plans that must be carried out first: the views to fuse; none for a single view."""
    note: str = ""
    """What the user should know about how the protocol was adapted to the detector; empty if it was not."""

    @property
    def reasons(self) -> list[str]:
        """Why there is something to do, in words; empty when everything is done."""
        return describe(self.blocks)

    @property
    def num_to_compute(self) -> int:
        """The number of images that will be computed."""
        return num_to_compute(self.blocks)


def plan_cache(workspace: Workspace, index: Index, detector_spec: str, config: CacheConfig) -> CachePlan:
    """The blocks of a split that lack a detector's candidates, and why.

    The detector's identity, the protocol, the way images are decoded and this stage's version decide the
    fingerprint. The data set does not: each row's image is compared by its hash, so new images join the old
    ones.

    Raises UsageError for an unknown detector or protocol, UserError when the store or its ledger is damaged.
    """
    name, _, weights = detector_spec.partition("@")
    # workers may run in a different working folder
    detector = f"{name}@{Path(weights).absolute()}" if weights else detector_spec
    identity = detector_identity(detector)
    name = identity["detector"]  # where its candidates are filed; may come from a foreign file
    protocol = protocol_for(name, config)
    note = limit_note(name, config, [(row.height, row.width) for row in index.all_rows if row.status == "ok"])
    if protocol.fusion is None:
        (view,) = protocol.views
        return _plan_view(workspace, index, detector, identity, view, protocol.name, config, note)
    views = tuple(
        _plan_view(workspace, index, detector, identity, view, of_view(view).name, config)
        for view in protocol.views
    )
    parts = fuse_parts([view.parts for view in views], protocol.fusion)
    key = CandidateKey(index.split, name, protocol.name, fingerprint(parts))
    spec = FuseSpec(workspace, key, tuple(view.key for view in views), protocol.fusion, index.digest)
    blocks, block_images = missing_blocks(workspace, index, key, views[0].block_images)
    words = _words(protocol, config)
    return CachePlan(key, spec, blocks, parts, len(index), block_images, words, views, note)


def _plan_view(
    workspace: Workspace,
    index: Index,
    detector: str,
    identity: dict[str, Any],
    view: View,
    filed_as: str,
    config: CacheConfig,
    note: str = "",
) -> CachePlan:
    parts = view_parts(identity, view, config.max_pixels, config.precision)
    key = CandidateKey(index.split, identity["detector"], filed_as, fingerprint(parts))
    spec = CacheSpec(workspace, key, detector, view, config.precision, index.digest, config.max_pixels)
    blocks, block_images = missing_blocks(workspace, index, key, config.block_images)
    words = _words(of_view(view), config)
    return CachePlan(key, spec, blocks, parts, len(index), block_images, words, note=note)


def _words(protocol: DetectionProtocol, config: CacheConfig) -> str:
    return protocol.words + ("" if config.precision == "float32" else f", {config.precision}")


def detector_identity(detector: str) -> dict[str, Any]:
    """What distinguishes a detector from others, from `detectors.identify`; UsageError for an unknown one."""
    try:
        return dict(detectors.identify(detector))
    except ValueError as error:
        raise UsageError(str(error)) from error


def view_parts(identity: dict[str, Any], view: View, max_pixels: int, precision: Precision) -> dict[str, Any]:
    """What the fingerprint of one view's candidates is computed from."""
    return {
        "stage": "cache",
        "version": CACHE_VERSION,
        "detector": identity,
        "protocol": of_view(view).name,
        **({} if view.side == "original" and not view.long_at_most_px else {"resizing": RESIZING}),
        "decoding": {**DECODING, "max_pixels": max_pixels},
        **({} if precision == "float32" else {"precision": precision}),
    }
