"""Several processes that write the blocks of one store; a module without torch, which they need not wait for."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path

from crface.array_shapes import ScoredBoxes
from pipeline.bench.store_formats import BLOCK_IMAGES, make_store, write_blocks

_images: Sequence[ScoredBoxes] = ()


@contextmanager
def writers_of(store: Path, images: Sequence[ScoredBoxes], most: int) -> Iterator[Callable[[int], None]]:
    """A function that writes the images with so many processes, which are there already: at most `most`."""
    num_blocks = -(-len(images) // BLOCK_IMAGES)
    make_store(store, len(images))
    pools = [
        ProcessPoolExecutor(1, get_context("spawn"), initializer=_take, initargs=(images,))
        for _ in range(most)
    ]

    def write(num_writers: int) -> None:
        shares = [range(number, num_blocks, num_writers) for number in range(num_writers)]
        futures = [pool.submit(_write, store, share) for pool, share in zip(pools, shares, strict=False)]
        for future in futures:
            future.result()

    try:
        write(most)  # every process has started
        yield write
    finally:
        for pool in pools:
            pool.shutdown()


def _take(images: Sequence[ScoredBoxes]) -> None:
    global _images
    _images = images


def _write(store: Path, numbers: Sequence[int]) -> None:
    write_blocks(store, _images, numbers)
