"""What `crface cache` is held against, in processes of their own: the bare loop, and the script that one would write.

Every process takes its share of the images; with one worker that is one process.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from crface.array_shapes import RgbImage

if TYPE_CHECKING:
    from detectors import Detector
    from pipeline.blocks.plan import Block
    from pipeline.cache.plan import CacheSpec

_state: "_State"


@dataclass(frozen=True, slots=True)
class _State:
    detector: "Detector"
    files: Sequence[Path]
    images: Sequence[RgbImage]


class LoopProcesses:
    """Processes that have loaded a detector, and each its share of some images, decoded."""

    def __init__(self, pools: Sequence[ProcessPoolExecutor]) -> None:
        self._pools = pools

    def bare(self) -> None:
        """Detect in every image and throw the result away: nothing could be quicker."""
        self._on_all(_bare)

    def blocks(self, spec: "CacheSpec", blocks: "Sequence[Block]") -> None:
        """Cache blocks as a worker does, but with no cluster around: what is left is the cluster's own part."""
        for future in [
            pool.submit(_blocks, spec, blocks[number :: len(self._pools)])
            for number, pool in enumerate(self._pools)
        ]:
            future.result()

    def dataloader(self, folder: Path) -> None:
        """Read the files with torch's DataLoader, detect, and write one `.npy` an image."""
        self._on_all(_dataloader, folder)

    def digests(self) -> dict[str, str]:
        """A hash of each image's candidates, by the name of its file."""
        return {name: digest for found in self._on_all(_digests) for name, digest in found.items()}

    def _on_all(self, work: Any, *arguments: Any) -> list[Any]:
        futures: list[Future[Any]] = [pool.submit(work, *arguments) for pool in self._pools]
        return [future.result() for future in futures]


@contextmanager
def loop_processes(
    detector: str, files: Sequence[Path], num_processes: int, num_threads: int
) -> Iterator[LoopProcesses]:
    """Such processes, with so many threads of torch each; they are ended afterwards."""
    pools = [
        ProcessPoolExecutor(
            1,
            get_context("spawn"),
            initializer=_load,
            initargs=(detector, files[number::num_processes], num_threads),
        )
        for number in range(num_processes)
    ]
    try:
        loops = LoopProcesses(pools)
        yield loops
    finally:
        for pool in pools:
            pool.shutdown()


def digest_of(candidates: np.ndarray) -> str:
    """A hash of the bytes of an image's candidates."""
    return sha256(np.ascontiguousarray(candidates).tobytes()).hexdigest()


def _load(detector: str, files: Sequence[Path], num_threads: int) -> None:
    global _state
    import cv2
    import torch

    import detectors
    from pipeline.images.decode import read_image

    torch.set_num_threads(num_threads)
    cv2.setNumThreads(num_threads)
    _state = _State(detectors.create(detector), files, [read_image(file) for file in files])


def _bare() -> None:
    for image in _state.images:
        _state.detector.candidates([image])


def _blocks(spec: "CacheSpec", blocks: "Sequence[Block]") -> None:
    from pipeline.cache.work import cache_block

    for block in blocks:
        cache_block(spec, block)


def _digests() -> dict[str, str]:
    found = [_state.detector.candidates([image])[0] for image in _state.images]
    return {file.name: digest_of(rows) for file, rows in zip(_state.files, found, strict=True)}


class _Files:
    """A data set as torch's DataLoader takes it."""

    def __init__(self, files: Sequence[Path]) -> None:
        self._files = files

    def __len__(self) -> int:
        return len(self._files)

    def __getitem__(self, i: int) -> tuple[str, RgbImage]:
        import cv2

        bgr = cv2.imread(str(self._files[i]), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
        assert bgr is not None
        return self._files[i].stem, np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8)


def _dataloader(folder: Path) -> None:
    from torch.utils.data import DataLoader

    files: Any = _Files(_state.files)
    for name, image in DataLoader(files, batch_size=None, num_workers=1):
        np.save(folder / f"{name}.npy", _state.detector.candidates([np.asarray(image)])[0])
