"""The embedded data set: generated pictures with labelled faces in WIDER FACE's layout, for runs without data.

`compose` draws one picture from the other modules' scenes, people and objects; `labels` and `layout` write what was
drawn as WIDER FACE does. Used by `crface demo` and every command without --data.
"""

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
"""Raised with every change that alters the bytes of a picture or label."""

LARGE_SCALE = 1.6
"""How much larger pictures of single large faces are: 1024 px, as in FFHQ, instead of 640 px."""

_DONE, _BEGUN, _LARGE = "dataset.json", ".dataset.begun.json", "large.json"
_FEW = 24  # pictures; starting processes takes longer than drawing this many


def make_dataset(
    root: Path,
    config: DatasetConfig,
    progress: Callable[[int, int], None] | None = None,
    *,
    processes: int | None = None,
) -> None:
    """Make the embedded data set in `root`; does nothing if it is already complete with these settings.

    With the same seed, size and difficulty, picture n has the same bytes however many pictures and processes there
    are (given the same versions of NumPy and OpenCV). `progress` is called with the pictures done and the total. A
    data set of other settings or from an interrupted run is remade, which leaves unaffected pictures as they were.
    `processes` is one per core by default; they are spawned, so scripts must call this under
    `if __name__ == "__main__"`.

    Raises UserError when `root` holds files of anything but an embedded data set, when scikit-image is missing, or
    when the files cannot be written.
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
    """Make the split `large` beside train and val: single large faces, like the paper's FFHQ images (section 3.1).

    It has half as many pictures as val, square and `LARGE_SCALE` times as large, and is otherwise made as by
    `make_dataset`, which neither makes nor removes it. It has no `.mat` files, so easy, medium and hard are
    defined by face height.

    Raises UserError when scikit-image is missing, or when the files cannot be written.
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
        # without this file the split counts as not made
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
    """The settings of what was made or begun in `root`; none for an empty or absent folder."""
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
    """Remove pictures left over from a larger data set; other files beside them stay."""
    for settings in earlier:
        for split, count in _sizes(settings).items():
            for number in range(_sizes(config)[split], count):
                (root / image_path(split, number)).unlink(missing_ok=True)


def _num_cores() -> int:
    # only Linux distinguishes the cores this process may use from all that exist
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
    # spawned, not forked, as the caller may have threads
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
    cv2.setNumThreads(1)  # there is one process per core already


def _make_picture(root: Path, config: DatasetConfig, job: tuple[str, int]) -> list[Face]:
    picture = compose(config, *job)
    path = root / image_path(*job)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode_jpeg(picture.degraded))
    return picture.faces
