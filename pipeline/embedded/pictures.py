"""Pictures drawn by several processes and written as files, with the labels of their splits."""

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import cv2

from pipeline.config.sections import DatasetConfig
from pipeline.dataset.splits import EIGHT_K_SPLIT
from pipeline.embedded.compose import compose
from pipeline.embedded.degrade import encode_jpeg
from pipeline.embedded.eight_k import compose_eight_k
from pipeline.embedded.labels import Face
from pipeline.embedded.layout import Labelled, image_path, write_labels

_FEW = 24  # pictures of 640 px; starting processes takes longer than drawing this many


def make_pictures(
    root: Path,
    config: DatasetConfig,
    sizes: Mapping[str, int],
    progress: Callable[[int, int], None] | None,
    processes: int | None = None,
) -> None:
    """Make the pictures and labels of splits, given by their numbers of pictures; `processes`: one per core."""
    jobs = [(split, number) for split, count in sizes.items() for number in range(count)]
    labelled: dict[str, list[Labelled]] = {split: [] for split in sizes}
    drawn = _drawn(partial(_make_picture, root, config), jobs, processes or _num_cores())
    for done, ((split, number), faces) in enumerate(zip(jobs, drawn, strict=True), start=1):
        labelled[split].append(Labelled(number, faces, split))
        if progress:
            progress(done, len(jobs))
    for split, pictures in labelled.items():
        write_labels(root, split, pictures)


def _num_cores() -> int:
    # only Linux distinguishes the cores this process may use from all that exist
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _drawn(
    make: Callable[[tuple[str, int]], list[Face]], jobs: list[tuple[str, int]], processes: int
) -> Iterator[list[Face]]:
    is_long = any(split == EIGHT_K_SPLIT for split, _ in jobs)
    if processes == 1 or len(jobs) <= (1 if is_long else _FEW):
        yield from map(make, jobs)
        return
    # spawned, not forked, as the caller may have threads
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(
        min(processes, len(jobs)), mp_context=context, initializer=_start_worker
    ) as pool:
        try:
            yield from pool.map(make, jobs, chunksize=1 if is_long else 4)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _start_worker() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    cv2.setNumThreads(1)  # there is one process per core already


def _make_picture(root: Path, config: DatasetConfig, job: tuple[str, int]) -> list[Face]:
    picture = (compose_eight_k if job[0] == EIGHT_K_SPLIT else compose)(config, *job)
    path = root / image_path(*job)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode_jpeg(picture.degraded))
    return picture.faces
