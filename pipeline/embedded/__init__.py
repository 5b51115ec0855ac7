"""Make the embedded data set: pictures with labelled faces in WIDER FACE's layout."""

import json
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import cv2

from pipeline.config.sections import DatasetConfig
from pipeline.dataset.splits import LARGE_SPLIT
from pipeline.embedded.compose import compose
from pipeline.embedded.degrade import encode_jpeg
from pipeline.embedded.labels import Face
from pipeline.embedded.layout import Labelled, image_path, write_labels
from pipeline.embedded.sources import check_sources
from pipeline.errors import UserError
from pipeline.workspace.fingerprint import Parts
from pipeline.workspace.writing import write_atomically

GENERATOR_VERSION = 1
"""Counts up with every change that alters a picture's or a label's bytes."""

LARGE_SCALE = 1.6
"""Pictures of single large faces are this much larger: 1024 px, as FFHQ's, beside 640 px."""

_DONE, _BEGUN, _LARGE = "dataset.json", ".dataset.begun.json", "large.json"
_FEW = 24  # pictures; to start processes takes longer than to draw so many


def make_dataset(
    root: Path,
    config: DatasetConfig,
    progress: Callable[[int, int], None] | None = None,
    *,
    processes: int | None = None,
) -> None:
    """Make the embedded data set in `root`; nothing happens where it already is, complete, with these settings.

    Same seed, size and difficulty: same bytes for picture n, however many pictures and processes there are
    (given the same versions of NumPy and OpenCV). `progress` is told the pictures done and in all. A data set of
    other settings, or one whose making was cut short, is made anew, which leaves equal pictures equal.
    `processes`: one a core by default; they are spawned, so a script calls this under
    `if __name__ == "__main__"`.

    Raises UserError when `root` holds files that are not an embedded data set's, when scikit-image is missing,
    or when the disk does not take the files.
    """
    wanted: Parts = {"generator": GENERATOR_VERSION, "config": config.model_dump(mode="json")}
    try:
        done, begun = _marker(root / _DONE), _marker(root / _BEGUN)
        if done == wanted and begun is None:
            return
        earlier = _earlier_settings(root, [found for found in (done, begun) if found is not None])
        check_sources()
        # while this file exists, nothing in the folder counts as complete
        write_atomically(root / _BEGUN, json.dumps(wanted).encode())
        _remove_surplus(root, earlier, config)
        _make_pictures(root, config, _sizes(config), progress, processes or _num_cores())
        write_atomically(root / _DONE, json.dumps(wanted, indent=2).encode())
        (root / _BEGUN).unlink()
    except OSError as error:
        raise _cannot_write(root, error) from error


def make_large_faces(
    root: Path,
    config: DatasetConfig,
    progress: Callable[[int, int], None] | None = None,
    *,
    processes: int | None = None,
) -> None:
    """Make the split `large` beside train and val: single large faces, as the paper's FFHQ images (section 3.1).

    Half as many pictures as val has, square, `LARGE_SCALE` times as large. Otherwise as `make_dataset`, which
    neither makes nor removes them. Without `.mat` files: easy, medium and hard go by face height.

    Raises UserError when scikit-image is missing, or when the disk does not take the files.
    """
    number = max(1, config.val_images // 2)
    drawn = config.model_copy(update={"long_side_px": round(LARGE_SCALE * config.long_side_px)})
    wanted: Parts = {
        "generator": GENERATOR_VERSION,
        "images": number,
        "settings": drawn.model_dump(mode="json", include={"seed", "long_side_px", "difficulty"}),
    }
    try:
        done = _marker(root / _LARGE)
        if done == wanted:
            return
        check_sources()
        # without it the split counts as not made
        (root / _LARGE).unlink(missing_ok=True)
        for picture in (root / f"WIDER_{LARGE_SPLIT}" / "images").glob("*/*_Large_Face_*.jpg"):
            picture.unlink()
        _make_pictures(root, drawn, {LARGE_SPLIT: number}, progress, processes or _num_cores())
        write_atomically(root / _LARGE, json.dumps(wanted, indent=2).encode())
    except OSError as error:
        raise _cannot_write(root, error) from error


def _cannot_write(root: Path, error: OSError) -> UserError:
    reason = error.strerror or error
    return UserError(f"cannot write the embedded data set to {root}: {reason}; choose another folder")


def _marker(path: Path) -> Parts | None:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}


def _earlier_settings(root: Path, markers: list[Parts]) -> list[DatasetConfig]:
    """Give the settings of what was made or begun in `root`; none for an empty or absent folder."""
    try:
        settings = [DatasetConfig.model_validate(found["config"]) for found in markers]
        versions = {int(found["generator"]) for found in markers}
    except (KeyError, TypeError, ValueError):  # pydantic's ValidationError is a ValueError
        settings, versions = [], set()
    if not settings and root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise UserError(f"{root} holds what is no embedded data set; choose an empty or a new folder")
    if versions - {GENERATOR_VERSION}:
        raise UserError(
            f"{root} holds an embedded data set made by version {min(versions)} of the generator, this is version "
            f"{GENERATOR_VERSION}; remove the folder to make it again, or choose another"
        )
    return settings


def _sizes(config: DatasetConfig) -> dict[str, int]:
    return {"train": config.train_images, "val": config.val_images}


def _remove_surplus(root: Path, earlier: list[DatasetConfig], config: DatasetConfig) -> None:
    """Remove the pictures that a larger data set left; files that were put beside them stay."""
    for settings in earlier:
        for split, count in _sizes(settings).items():
            for number in range(_sizes(config)[split], count):
                (root / image_path(split, number)).unlink(missing_ok=True)


def _num_cores() -> int:
    # only Linux can tell the cores that this process may use from those that there are
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _make_pictures(
    root: Path,
    config: DatasetConfig,
    sizes: Mapping[str, int],
    progress: Callable[[int, int], None] | None,
    processes: int,
) -> None:
    jobs = [(split, number) for split, count in sizes.items() for number in range(count)]
    labelled: dict[str, list[Labelled]] = {split: [] for split in sizes}
    drawn = _drawn(partial(_make_picture, root, config), jobs, processes)
    for done, ((split, number), faces) in enumerate(zip(jobs, drawn, strict=True), start=1):
        labelled[split].append(Labelled(number, faces, split))
        if progress:
            progress(done, len(jobs))
    for split, pictures in labelled.items():
        write_labels(root, split, pictures)


def _drawn(
    make: Callable[[tuple[str, int]], list[Face]], jobs: list[tuple[str, int]], processes: int
) -> Iterator[list[Face]]:
    if processes == 1 or len(jobs) <= _FEW:
        yield from map(make, jobs)
        return
    # spawned, not forked: whoever calls may have threads
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(
        min(processes, len(jobs)), mp_context=context, initializer=_start_worker
    ) as pool:
        try:
            yield from pool.map(make, jobs, chunksize=4)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _start_worker() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    cv2.setNumThreads(1)  # one process a core already


def _make_picture(root: Path, config: DatasetConfig, job: tuple[str, int]) -> list[Face]:
    picture = compose(config, *job)
    path = root / image_path(*job)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode_jpeg(picture.degraded))
    return picture.faces
