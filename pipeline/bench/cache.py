"""`crface cache` beside the bare loop over preloaded images and beside the script that one would write instead."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pipeline.bench.pairs import Rounds, ratio_words
from pipeline.bench.timeline import as_svg, as_table, block_timeline
from pipeline.config.sections import DatasetConfig
from pipeline.embedded.compose import compose
from pipeline.embedded.degrade import encode_jpeg
from pipeline.results.text import aligned, counted

BARE: Final = "bare loop"
BLOCKS: Final = "cache, its blocks"
WORKERS: Final = "cache, its workers"
COMMAND: Final = "cache, the command"
SCRIPT: Final = "DataLoader, .npy"

_DIFFERENT: Final = 48
"""Pictures that are drawn; more are copies under other names, because drawing takes longer than detecting."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheBench:
    """The ways of caching the same images, side by side."""

    detector: str
    num_images: int
    long_side_px: int
    num_workers: int
    num_threads: int
    """Threads of torch in each worker, and in each process of the other ways."""
    rounds: Rounds
    different: tuple[str, ...]
    """Images whose stored candidates are not, byte for byte, what the bare loop gives."""


def write_pictures(folder: Path, num_images: int, long_side_px: int) -> list[Path]:
    """The files of a plain folder of pictures of the embedded data set."""
    config = DatasetConfig(long_side_px=long_side_px)
    drawn = [
        encode_jpeg(compose(config, "val", number).degraded) for number in range(min(num_images, _DIFFERENT))
    ]
    folder.mkdir(parents=True)
    files = [folder / f"{number:06d}.jpg" for number in range(num_images)]
    for number, file in enumerate(files):
        file.write_bytes(drawn[number % len(drawn)])
    return files


def draw_timeline(
    detector: str, num_images: int, long_side_px: int, num_threads: int
) -> tuple[list[str], bytes]:
    """The table and the picture of what is done when while one block of such pictures is cached in this process."""
    with tempfile.TemporaryDirectory(prefix="crface-bench-") as name:
        files = write_pictures(Path(name, "pictures"), num_images, long_side_px)
        spans = block_timeline(detector, files[0].parent, num_images, Path(name, "run"), num_threads)
    title = f"{num_images} images of {long_side_px} px, {detector}, {counted(num_threads, 'thread')}"
    return as_table(spans), as_svg(spans, title)


def as_lines(bench: CacheBench) -> list[str]:
    """The benchmark as a table of 80 columns."""
    rounds = bench.rounds
    rows = [("", "images/s", "x bare loop", "CPU ms", "x bare loop")]
    for way in rounds.ways:
        rows.append(
            (
                way,
                f"{bench.num_images / rounds.spread(way, 'seconds').median:.1f}",
                ratio_words(rounds.ratio(BARE, way, "seconds")),
                f"{1000 * rounds.spread(way, 'cpu_seconds').median / bench.num_images:.1f}",
                ratio_words(rounds.ratio(BARE, way, "cpu_seconds")),
            )
        )
    return [
        f"{bench.num_images} images of {bench.long_side_px} px, {bench.detector},",
        f"workers: {bench.num_workers}, threads of torch in each: {bench.num_threads}",
        "",
        *aligned(rows),
        "",
        "x bare loop: images/s, and images a CPU second, by its in the same round",
        f"images whose candidates differ from the bare loop's: {len(bench.different)}",
    ]


def as_json(bench: CacheBench) -> dict[str, Any]:
    """The benchmark as JSON values."""
    return {
        "detector": bench.detector,
        "images": bench.num_images,
        "long_side_px": bench.long_side_px,
        "workers": bench.num_workers,
        "threads": bench.num_threads,
        "ways": bench.rounds.as_json(),
        "different": list(bench.different),
    }


def differing(expected: dict[str, str], found: dict[str, str]) -> Sequence[str]:
    """The names whose hashes differ, or that one of both lacks, sorted."""
    return sorted(name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name))
