"""The cache stage: a detector's candidates for every image of a split, block by block, into the store.

Each view of a protocol has a store of its own. Where there are several, what their fusion leaves is one more,
made from theirs (`pipeline.fuse`), so that fusing in another way needs no forward.
"""

import platform
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import version
from math import prod
from pathlib import Path
from typing import Any, Final

import cv2

import detectors
from detectors.base import Precision
from detectors.protocols import RESIZING, DetectionProtocol, View, of_view
from pipeline.blocks.commit import BlockReport, ComputedRow, compute_block
from pipeline.blocks.complete import missing_blocks
from pipeline.blocks.decoding import DecodedImage, decoded_images
from pipeline.blocks.ledger import Ledger
from pipeline.blocks.plan import Block, describe, num_to_compute
from pipeline.blocks.store import CandidateStore
from pipeline.config.sections import CacheConfig
from pipeline.dataset.index import Index, planned_rows
from pipeline.detecting import detected
from pipeline.errors import UsageError, UserError
from pipeline.fuse import FuseSpec, fuse_parts
from pipeline.images.decode import DECODING
from pipeline.loading import load_detector
from pipeline.protocols import limit_note, protocol_for
from pipeline.workspace.fingerprint import Parts, fingerprint
from pipeline.workspace.layout import CandidateKey, Workspace

CACHE_VERSION: Final = 1
"""Raised when this module changes in a way that changes what is stored."""

_GPU_BATCH_PIXELS = 8_000_000  # about eight VGA images or one 4K frame a forward pass


@dataclass(frozen=True, slots=True)
class CacheSpec:
    """What every block of one view's cache run shares; a few hundred bytes, sent along with each block."""

    workspace: Workspace
    key: CandidateKey
    detector: str
    """As `detectors.create` takes it; a weights file in it is absolute."""
    view: View
    precision: Precision
    index_digest: str
    """Of the index that the blocks were planned from."""
    max_pixels: int


@dataclass(frozen=True, slots=True)
class CachePlan:
    """What a cache run would do; made without writing anything and without loading a detector."""

    key: CandidateKey
    spec: CacheSpec | FuseSpec
    """Of `cache_block` for the candidates of a single view, of `fuse_block` for those of several."""
    blocks: list[Block]
    parts: Parts
    """What the key's fingerprint is made of."""
    num_images: int
    block_images: int
    """The store's, which keeps the block size that it was created with, or the configuration's."""
    input_size: str
    """At what sizes the detector sees an image, in words."""
    views: tuple["CachePlan", ...] = ()
    """What has to be done first: the views that are fused; none for a single view."""
    note: str = ""
    """What the user should know of how the protocol was made to suit the detector; empty for nothing."""

    @property
    def reasons(self) -> list[str]:
        """Why there is something to do, in words; empty when everything is done."""
        return describe(self.blocks)

    @property
    def num_to_compute(self) -> int:
        """The images that will be computed."""
        return num_to_compute(self.blocks)


def plan_cache(workspace: Workspace, index: Index, detector_spec: str, config: CacheConfig) -> CachePlan:
    """Say which blocks of a split lack a detector's candidates, and why.

    The detector's identity, the protocol, the way images are decoded and this stage's version decide the
    fingerprint; the data set does not: each row's image is compared by its hash, so new images are added to
    old.

    Raises UsageError when there is no such detector or protocol, UserError when the store or its ledger is
    damaged.
    """
    name, _, weights = detector_spec.partition("@")
    # workers may have another working folder
    detector = f"{name}@{Path(weights).absolute()}" if weights else detector_spec
    identity = _identity(detector)
    name = identity["detector"]  # that of its candidates: a foreign one's may be in its weights
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
    parts = _parts(identity, view, config.max_pixels, config.precision)
    key = CandidateKey(index.split, identity["detector"], filed_as, fingerprint(parts))
    spec = CacheSpec(workspace, key, detector, view, config.precision, index.digest, config.max_pixels)
    blocks, block_images = missing_blocks(workspace, index, key, config.block_images)
    words = _words(of_view(view), config)
    return CachePlan(key, spec, blocks, parts, len(index), block_images, words, note=note)


def _words(protocol: DetectionProtocol, config: CacheConfig) -> str:
    return protocol.words + ("" if config.precision == "float32" else f", {config.precision}")


def prepare_cache(plan: CachePlan) -> None:
    """Make or resize the store of a plan; for the driver, before any worker starts.

    Raises UserError when that cannot be written.
    """
    libraries = {name: version(name) for name in ("torch", "numpy", "zarr")}
    libraries["opencv"] = cv2.__version__  # which comes from one of several packages
    attrs = {
        "detector": plan.key.detector,
        "weights": plan.parts["detector"]["weights"],
        "protocol": plan.key.protocol,
        "input_size": plan.input_size,
        "thresholds": {
            "confidence": plan.parts.get("fusion", {}).get("min_confidence"),
            "max_candidates": plan.parts["detector"]["max_candidates"],
        },
        "columns": ["x1", "y1", "x2", "y2", "confidence"],
        "parts": plan.parts,
        "dataset": plan.spec.index_digest,
        "libraries": {"python": platform.python_version(), **libraries},
    }
    path = plan.spec.workspace.candidates(plan.key)
    try:
        CandidateStore.create_or_grow(path, plan.num_images, plan.block_images, attrs)
    except OSError as error:
        raise UserError(f"cannot make the store {path}: {error.strerror or error}") from error


def finish_cache(plan: CachePlan) -> None:
    """Gather the ledger into one file; for the driver, when no worker runs, however the run ended."""
    Ledger(plan.spec.workspace.candidates_ledger(plan.key)).gather()


def cache_block(spec: CacheSpec, block: Block) -> BlockReport:
    """Detect on a block's images and commit their candidates; an image that cannot be read is named, no more.

    Each image is shown to the detector as the view says. The detector is loaded once per
    process, onto a GPU if this process sees one.

    Raises UserError when this process sees another detector or index than the driver, or cannot write.
    """
    device, device_name = _device()
    detector = _detector(spec, device)
    index = planned_rows(spec.workspace, spec.key.split, spec.index_digest, block.start, block.stop)
    batch_pixels = (
        _GPU_BATCH_PIXELS if device == "cuda" else 1
    )  # a CPU gains nothing from more than one image

    def compute(rows: list[int]) -> Iterator[ComputedRow]:
        batch: list[DecodedImage] = []
        for image in decoded_images(index, rows, spec.max_pixels):
            if isinstance(image, ComputedRow):
                yield image
                continue
            batch.append(image)
            if sum(prod(spec.view.size(*image.pixels.shape[:2])) for image in batch) >= batch_pixels:
                yield from detected(detector, spec.view, batch)
                batch = []
        yield from detected(detector, spec.view, batch)

    store = CandidateStore.open(spec.workspace.candidates(spec.key))
    ledger = Ledger(spec.workspace.candidates_ledger(spec.key))
    return compute_block(store, ledger, block, compute, device_name)


def _identity(detector: str) -> dict[str, Any]:
    try:
        return dict(detectors.identify(detector))
    except ValueError as error:
        raise UsageError(str(error)) from error


def _parts(identity: dict[str, Any], view: View, max_pixels: int, precision: Precision) -> dict[str, Any]:
    return {
        "stage": "cache",
        "version": CACHE_VERSION,
        "detector": identity,
        "protocol": of_view(view).name,
        **({} if view.side == "original" and not view.long_at_most_px else {"resizing": RESIZING}),
        "decoding": {**DECODING, "max_pixels": max_pixels},
        **({} if precision == "float32" else {"precision": precision}),
    }


def _device() -> tuple[str, str]:
    import torch  # only workers ask; whether a driver that plans has to load it is up to the detectors

    return ("cuda", torch.cuda.get_device_name()) if torch.cuda.is_available() else ("cpu", "cpu")


def _detector(spec: CacheSpec, device: str) -> detectors.Detector:
    parts = _parts(_identity(spec.detector), spec.view, spec.max_pixels, spec.precision)
    if fingerprint(parts) != spec.key.fingerprint:
        raise UserError(
            f"a worker on {platform.node()} sees another {spec.detector} than this command: give every worker "
            "the same installation and the same weights"
        )
    return _loaded(spec.detector, device, spec.precision, spec.key.fingerprint)


@lru_cache(
    maxsize=1
)  # one in memory; the next run on this worker may want another, or the same with new weights
def _loaded(detector: str, device: str, precision: Precision, fingerprint: str) -> detectors.Detector:
    try:
        return load_detector(detector, device, precision)
    except ValueError as error:
        raise UserError(str(error)) from error
