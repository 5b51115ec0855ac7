"""The work of the cache stage: the images of one planned block go through the detector, candidates are stored.

`pipeline.cache.plan` decides which blocks need it. The driver calls `prepare_cache` before and `finish_cache`
after; workers call `cache_block`.
"""

import platform
from collections.abc import Iterator
from functools import lru_cache
from importlib.metadata import version
from math import prod

import cv2

import detectors
from detectors.base import Precision
from detectors.protocols import View
from pipeline.blocks.commit import BlockReport, ComputedRow, compute_block
from pipeline.blocks.decoding import GPU_AHEAD_PIXELS, DecodedImage, decoded_images
from pipeline.blocks.ledger import Ledger
from pipeline.blocks.plan import Block
from pipeline.blocks.store import CandidateStore
from pipeline.cache.detecting import detected
from pipeline.cache.loading import load_detector
from pipeline.cache.plan import CachePlan, CacheSpec, detector_identity, view_parts
from pipeline.dataset.index import planned_rows
from pipeline.errors import UserError
from pipeline.workspace.fingerprint import fingerprint

_GPU_BATCH_PIXELS = GPU_AHEAD_PIXELS  # about 26 VGA images or one 4K frame per forward pass


def prepare_cache(plan: CachePlan) -> None:
    """Create or resize the store of a plan; called by the driver before any worker starts.

    Raises UserError when the store cannot be written.
    """
    libraries = {name: version(name) for name in ("torch", "numpy", "zarr")}
    libraries["opencv"] = cv2.__version__  # several packages provide it
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
    """Gather the ledger into one file and tidy the store; for the driver once no worker runs, however the run ended."""
    CandidateStore.tidy(plan.spec.workspace.candidates(plan.key))
    Ledger(plan.spec.workspace.candidates_ledger(plan.key)).gather()


def cache_block(spec: CacheSpec, block: Block) -> BlockReport:
    """Detect faces in a block's images and commit the candidates; an unreadable image is reported, not an error.

    Each image is presented to the detector as the view prescribes. The detector is loaded once per process,
    onto a GPU if this process sees one.

    Raises UserError when this process sees a different detector or index from the driver's, or cannot write.
    """
    device, device_name = _device()
    detector = _detector(
        spec.detector, device, spec.precision, spec.view, spec.max_pixels, spec.key.fingerprint
    )
    index = planned_rows(spec.workspace, spec.key.split, spec.index_digest, block.start, block.stop)
    is_gpu = device == "cuda"
    batch_pixels = _GPU_BATCH_PIXELS if is_gpu else 1  # a CPU gains nothing from more than one image
    ahead_pixels = GPU_AHEAD_PIXELS if is_gpu else 0  # the next batch, while this one is forwarded

    def compute(rows: list[int]) -> Iterator[ComputedRow]:
        batch: list[DecodedImage] = []
        for image in decoded_images(index, rows, spec.max_pixels, ahead_pixels):
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


def _device() -> tuple[str, str]:
    import torch  # needed by workers only; the driver may never have to load it

    return ("cuda", torch.cuda.get_device_name()) if torch.cuda.is_available() else ("cpu", "cpu")


# one in memory: the next run on this worker may need another detector, or the same with new weights
@lru_cache(maxsize=1)
def _detector(
    detector: str, device: str, precision: Precision, view: View, max_pixels: int, expected: str
) -> detectors.Detector:
    """The detector whose candidates have the fingerprint `expected`; hashed once, when it is loaded."""
    parts = view_parts(detector_identity(detector), view, max_pixels, precision)
    if fingerprint(parts) != expected:
        raise UserError(
            f"a worker on {platform.node()} sees another {detector} than this command: give every worker "
            "the same installation and the same weights"
        )
    try:
        return load_detector(detector, device, precision)
    except ValueError as error:
        raise UserError(str(error)) from error
