"""How fast training examples are made: from JPEG files and stored candidates, in parts and altogether."""

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np

from crface.training.examples import make_example
from pipeline.blocks.store import CandidateStore
from pipeline.config.sections import TrainConfig
from pipeline.dataset.index import Index
from pipeline.errors import UserError
from pipeline.train.examples import ExampleSource
from pipeline.train.read_ahead import no_helping_threads

PAPER_IMAGES_PER_S: Final = 100_000 * 32 / 86_400
"""What the paper's GPU took: 100,000 iterations of 32 images in "about a day on an RTX 2080" (4.2)."""

LARGE_GPU_FACTOR: Final = 10
"""How many times faster a data centre's GPU is taken to be: of the order of what H100 and RTX 2080 differ in memory
bandwidth (3.35 against 0.45 TB/s, by their data sheets) and, in bfloat16, more than that in arithmetic. An assumption:
no such GPU was measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """The whole loader on some threads."""

    threads: int
    images_per_s: float
    """By the clock, whatever else the machine does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoaderBench:
    """CPU milliseconds that an image takes on average in this process, nothing kept in memory, and the rates."""

    images: int
    image_side_px: int
    num_candidates: int
    read_ms: float
    """Reading, decoding and reducing the file."""
    candidates_ms: float
    """Reading one detector's candidates from the store."""
    augment_ms: float
    """Drawing the transform, applying it to pixels and boxes, and the oracle confidences."""
    kept_ms: float
    """Altogether once the reduced image and its candidates are in memory."""
    rates: tuple[Rate, ...]

    @property
    def all_ms(self) -> float:
        """Reading, candidates and augmentation together."""
        return self.read_ms + self.candidates_ms + self.augment_ms


def bench_loader(
    index: Index,
    stores: Sequence[CandidateStore],
    config: TrainConfig,
    num_images: int,
    threads: Sequence[int],
) -> LoaderBench:
    """The cost of examples of the first `num_images` images of the split, repeated from the start if it has fewer.

    Raises UserError when no image has candidates of every detector.
    """
    rows = np.flatnonzero(np.all([store.counts() >= 0 for store in stores], axis=0)).tolist()
    rows = [row for row in index.ok_rows if row in set(rows)]
    if not rows:
        raise UserError(f"no image of the {index.split} split has candidates: run `crface cache` first")
    numbers = [number % len(rows) for number in range(num_images)]
    fresh = ExampleSource(index, rows, stores, config, image_cache_bytes=0)
    photographs = {number: fresh.photograph(number) for number in set(numbers)}
    candidates = {number: stores[0].read(rows[number]) for number in set(numbers)}

    def augment(number: int) -> None:
        photograph, found = photographs[number], candidates[number]
        boxes = np.concatenate([found[:, :4] * photograph.scale, found[:, 4:]], axis=1)
        seed = (config.seed, 0, number)
        make_example(
            photograph.image, boxes, photograph.faces, seed, config.num_candidates, config.image_side_px
        )

    with no_helping_threads():
        read_ms = _cpu_ms(fresh.photograph, numbers)
        candidates_ms = _cpu_ms(lambda number: stores[number % len(stores)].read(rows[number]), numbers)
        augment_ms = _cpu_ms(augment, numbers)
    return LoaderBench(
        images=num_images,
        image_side_px=config.image_side_px,
        num_candidates=config.num_candidates,
        read_ms=read_ms,
        candidates_ms=candidates_ms,
        augment_ms=augment_ms,
        kept_ms=augment_ms,
        rates=tuple(_rate(fresh, count, num_images) for count in threads),
    )


def as_lines(bench: LoaderBench) -> list[str]:
    """A table of 80 columns, with the number of cores that a GPU would keep busy."""
    paper, large = PAPER_IMAGES_PER_S, LARGE_GPU_FACTOR * PAPER_IMAGES_PER_S
    parts = (
        ("read, decode and reduce the JPEG", bench.read_ms),
        ("read the candidates", bench.candidates_ms),
        ("augment, oracle confidences", bench.augment_ms),
        ("all, from the files", bench.all_ms),
        ("all, image and candidates in memory", bench.kept_ms),
    )
    return [
        f"{bench.images} images, N = {bench.num_candidates}, {bench.image_side_px} px",
        f"{'':36}{'CPU ms an image':>16}{'images/s a core':>18}",
        *(f"{name:36}{ms:16.2f}{1000 / max(ms, 1e-6):18.0f}" for name, ms in parts),
        "",
        *(f"threads: {rate.threads:3}{rate.images_per_s:12.1f} images/s" for rate in bench.rates),
        "",
        f"needed: {paper:.0f} images/s for the paper's RTX 2080 (100,000 x 32 in a day), "
        f"{paper * bench.all_ms / 1000:.2g} cores;",
        f"        {large:.0f} images/s for a GPU {LARGE_GPU_FACTOR} times as fast (assumed), "
        f"{large * bench.all_ms / 1000:.2g} cores",
    ]


def as_json(bench: LoaderBench) -> dict[str, Any]:
    """The benchmark as JSON values."""
    return {**asdict(bench), "all_ms": bench.all_ms, "paper_images_per_s": PAPER_IMAGES_PER_S}


def _cpu_ms(function: Callable[[int], object], numbers: Sequence[int]) -> float:
    started = time.process_time()
    for number in numbers:
        function(number)
    return 1000 * (time.process_time() - started) / len(numbers)


def _rate(source: ExampleSource, num_threads: int, num_images: int) -> Rate:
    num_batches = max(1, num_images // source.config.batch_size)
    started = time.monotonic()
    batches = source.batches(max(0, source.config.iterations - num_batches), num_threads)
    made = sum(len(batch) for batch in batches)
    return Rate(threads=num_threads, images_per_s=made / (time.monotonic() - started))
