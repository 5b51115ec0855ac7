"""The candidate store beside other formats, with several writers, and what smaller numbers would save and cost."""

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import numpy as np

from crface.array_shapes import ScoredBoxes
from pipeline.bench.pairs import Rounds, ratio_words, spread, timed_rounds
from pipeline.bench.smaller import Smaller, sources, variants
from pipeline.bench.store_formats import BLOCK_IMAGES, HDF5, OWN, formats
from pipeline.bench.store_writers import writers_of
from pipeline.results.text import NONE, aligned, percent, points, size_words

WRITERS: Final = (1, 2, 4)
_WRITTEN_IMAGES: Final = 8 * BLOCK_IMAGES
"""Images that the writers write, so that each has a few blocks: those of the benchmark, again and again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreBench:
    """What it takes to keep the candidates of some images."""

    detector: str
    num_images: int
    num_candidates: int
    """Of one image; all have as many."""
    image_bytes: Mapping[str, float]
    """Bytes on disk of an image, by format."""
    writing: Rounds
    """Of all images."""
    reading: Rounds
    """Of all images, one by one in an order by chance, after opening."""
    writers: Rounds
    """Of 256 images by so many processes at once, into one store of this package."""
    unequal: tuple[str, ...]
    """Formats that do not give back what they were given, bit for bit."""
    smaller: tuple[Smaller, ...]


def bench_store(detector: str, num_images: int, long_side_px: int, repeats: int) -> StoreBench:
    """The benchmark on a detector's candidates of pictures of the embedded data set.

    Files go to the folder for temporary files.
    """
    found = sources(detector, num_images, long_side_px)
    images = [source.candidates for source in found]
    names = formats()
    with tempfile.TemporaryDirectory(prefix="crface-bench-") as name:
        folders = {format_name: Path(name, str(number)) for number, format_name in enumerate(names)}
        writing, _ = timed_rounds({key: partial(_write, key, folders[key], images) for key in names}, repeats)
        order = np.random.default_rng(0).permutation(num_images).tolist()
        reading, read = timed_rounds(
            {key: partial(_read, key, folders[key], order) for key in names}, repeats
        )
        image_bytes = {key: _num_bytes(folder) / num_images for key, folder in folders.items()}
        writers = _with_writers(Path(name, "writers"), images, repeats)
    return StoreBench(
        detector=detector,
        num_images=num_images,
        num_candidates=len(images[0]),
        image_bytes=image_bytes,
        writing=writing,
        reading=reading,
        writers=writers,
        unequal=tuple(key for key, rows in read.items() if not _is_equal(rows, images, order)),
        smaller=variants(found),
    )


def as_lines(bench: StoreBench) -> list[str]:
    """The benchmark as tables of 80 columns."""
    kept: list[Sequence[str]] = [("", "kB", "write, ms", "x", "read, ms", "x")]
    for name, num_bytes in bench.image_bytes.items():
        parts = [
            (
                f"{1000 * rounds.spread(name, 'cpu_seconds').median / bench.num_images:.2f}",
                ratio_words(rounds.ratio(name, OWN, "cpu_seconds")),
            )
            for rounds in (bench.writing, bench.reading)
        ]
        kept.append((name, f"{num_bytes / 1000:.1f}", *parts[0], *parts[1]))
    if not find_spec("h5py"):
        kept.append((HDF5, *[NONE] * 5))
    megabytes = _WRITTEN_IMAGES * bench.num_candidates * 20 / 1e6
    writers: list[Sequence[str]] = [("writers", "MB/s", "x of one")]
    for name, times in bench.writers.ways.items():
        rates = spread([megabytes / seconds for seconds in times.seconds])
        writers.append(
            (
                name,
                f"{rates.median:.0f} ({rates.low:.0f}-{rates.high:.0f})",
                ratio_words(bench.writers.ratio("1", name, "seconds")),
            )
        )
    return [
        f"{bench.num_images} images of {bench.num_candidates} candidates, {bench.detector};",
        "of an image, processor time; x: by crface's store in the same round",
        *aligned(kept),
        f"1,000 images in crface's store: {size_words(round(1000 * bench.image_bytes[OWN]))}",
        f"formats that do not give back every bit: {', '.join(bench.unequal) or 'none'}",
        "",
        "float32 values written a second, into one store of blocks of 32 images",
        *aligned(writers),
        "",
        *_smaller_lines(bench.smaller),
    ]


def as_json(bench: StoreBench) -> dict[str, Any]:
    """The benchmark as JSON values."""
    return {
        "detector": bench.detector,
        "images": bench.num_images,
        "candidates": bench.num_candidates,
        "image_bytes": dict(bench.image_bytes),
        "writing": bench.writing.as_json(),
        "reading": bench.reading.as_json(),
        "writers": bench.writers.as_json(),
        "unequal": list(bench.unequal),
        "smaller": [asdict(one) for one in bench.smaller],
    }


def _smaller_lines(found: Sequence[Smaller]) -> list[str]:
    first, *others = found
    rows: list[Sequence[str]] = [("", "kB an image", "saved", "moved px", "predicted AP", "oracle AP")]
    rows.append(
        (
            first.name,
            f"{first.image_bytes / 1000:.1f}",
            NONE,
            NONE,
            *map(_aps, (first.predicted, first.oracle)),
        )
    )
    for one in others:
        changes = [
            " ".join(points(ap[setting] - before[setting]) for setting in ap)
            for ap, before in ((one.predicted, first.predicted), (one.oracle, first.oracle))
        ]
        saved = f"{percent(1 - one.image_bytes / first.image_bytes)} %"
        rows.append(
            (one.name, f"{one.image_bytes / 1000:.1f}", saved, f"{one.largest_move_px:.2f}", *changes)
        )
    return ["fewer bytes, and AP (easy, medium, hard) with them; no options of the store", *aligned(rows)]


def _aps(ap: Mapping[str, float]) -> str:
    return " ".join(percent(value) for value in ap.values())


def _write(name: str, folder: Path, images: Sequence[ScoredBoxes]) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    formats()[name].write(folder, images)


def _read(name: str, folder: Path, order: Sequence[int]) -> list[ScoredBoxes]:
    read = formats()[name].reader(folder)
    return [read(number) for number in order]


def _is_equal(read: Sequence[ScoredBoxes], images: Sequence[ScoredBoxes], order: Sequence[int]) -> bool:
    return all(np.array_equal(rows, images[number]) for rows, number in zip(read, order, strict=True))


def _num_bytes(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def _with_writers(store: Path, images: Sequence[ScoredBoxes], repeats: int) -> Rounds:
    many = [images[number % len(images)] for number in range(_WRITTEN_IMAGES)]
    with writers_of(store, many, max(WRITERS)) as write:
        return timed_rounds({str(number): partial(write, number) for number in WRITERS}, repeats)[0]
