"""Detection on a batch of images: split when the device has too little memory, failures named by image."""

from collections.abc import Iterator, Sequence

import numpy as np

from crface.array_shapes import ScoredBoxes
from detectors import MAX_CANDIDATES, Detector
from detectors.plausible import misread_corners
from detectors.protocols import View, view_candidates
from pipeline.blocks.commit import ComputedRow
from pipeline.blocks.decoding import DecodedImage


def detected(detector: Detector, view: View, batch: Sequence[DecodedImage]) -> Iterator[ComputedRow]:
    """Each image's candidates, as its row of a block.

    Raises what the detector raises, with the names of the images it failed on as notes, and ValueError for
    candidates that later stages could not rely on.
    """
    found = _found(detector, view, batch) if batch else []
    for image, candidates in zip(batch, found, strict=True):
        yield ComputedRow(
            image.row.row, _checked(candidates, image.row.path, *image.pixels.shape[:2]), image.row.sha256
        )


def _found(detector: Detector, view: View, batch: Sequence[DecodedImage]) -> list[ScoredBoxes]:
    """The detector's candidates of each image; where it fails or a GPU runs out of memory, the batch is halved.

    Raises what the detector raises for a single image, with a note naming every image that fails on its own: after
    some errors a GPU fails for every image, and then no single one is to blame. The block then fails, and is set
    aside if it fails again.
    """
    import torch

    try:
        return view_candidates(detector, view, [image.pixels for image in batch])
    except Exception as error:
        if len(batch) == 1:
            error.add_note(batch[0].row.path)
            raise
    # outside the handler, whose traceback would keep the memory alive
    torch.cuda.empty_cache()
    half = len(batch) // 2
    found: list[ScoredBoxes] = []
    failed: Exception | None = None
    for part in (batch[:half], batch[half:]):
        try:
            found += _found(detector, view, part)
        except torch.OutOfMemoryError:
            raise  # not even one image fits
        except Exception as error:
            if failed is None:
                failed = error
                continue
            for path in error.__notes__:
                failed.add_note(path)
    if failed is not None:
        raise failed
    return found


def _checked(candidates: ScoredBoxes, path: str, height: int, width: int) -> ScoredBoxes:
    """The candidates unchanged; ValueError for what later stages could not rely on."""
    if candidates.ndim != 2 or candidates.shape[1] != 5 or len(candidates) > MAX_CANDIDATES:
        raise ValueError(
            f"{path}: the detector gave candidates of shape {candidates.shape}, not at most [5000, 5]"
        )
    if not np.isfinite(candidates).all():
        raise ValueError(f"{path}: the detector gave candidates that are not finite")
    if (np.diff(candidates[:, 4]) > 0).any():
        raise ValueError(f"{path}: the detector's candidates are not sorted by confidence, highest first")
    if misread := misread_corners(candidates, height, width):
        raise ValueError(f"{path}: the detector gave boxes that no face can have: {misread}")
    return candidates
