"""The scan of a split's image files: which are there, which decode, and what their bytes hash to."""

import hashlib
import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from pipeline.dataset.annotations import Annotation
from pipeline.dataset.index_file import ImageRow, Status
from pipeline.dataset.splits import SplitFiles
from pipeline.images.decode import ImageError, examined_image, read_bytes

_MAX_THREADS = 8  # each holds one decoded image


def scan_images(
    files: SplitFiles,
    order: list[str],
    labels: Mapping[str, Annotation],
    old_rows: Mapping[str, ImageRow],
    progress: Callable[[int, int], None] | None,
    max_pixels: int,
) -> list[ImageRow]:
    """One row for each path of `order`, in that order; a path without an entry in `labels` is no longer listed.

    An old row is kept without reading its file if it is ok, within `max_pixels`, and the file's size and
    modification time are the same. All other files are read, hashed and decoded, several at a time (none of the
    three holds the GIL).
    """
    rows: list[ImageRow] = []
    with ThreadPoolExecutor(min(_MAX_THREADS, os.cpu_count() or 1)) as pool:
        try:
            for row in pool.map(
                lambda i: _look_at(
                    files, i, order[i], labels.get(order[i]), old_rows.get(order[i]), max_pixels
                ),
                range(len(order)),
            ):
                rows.append(row)
                if progress is not None:
                    progress(len(rows), len(order))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)  # Ctrl-C does not wait for thousands of images
            raise
    return rows


def _look_at(
    files: SplitFiles,
    number: int,
    path: str,
    labels: Annotation | None,
    old: ImageRow | None,
    max_pixels: int,
) -> ImageRow:
    if labels is None:
        assert old is not None  # a path is in `order` because it is or was listed
        return replace(
            old, status="removed", reason=f"no longer listed in {files.annotations or files.image_folder}"
        )
    location = files.image_folder / path
    try:
        info = location.stat()
    except OSError as error:
        reason = "there is no such file" if isinstance(error, FileNotFoundError) else str(error.strerror)
        return _row(number, labels, status="missing", reason=reason)
    # The file's state is taken before its bytes: a change in between shows at the next update.
    size_bytes, mtime_ns = info.st_size, info.st_mtime_ns
    if old is not None and _is_as_before(old, size_bytes, mtime_ns) and old.width * old.height <= max_pixels:
        return replace(old, faces=labels.faces, is_valid=labels.is_valid, attributes=labels.attributes)
    sha256 = ""
    try:
        _refuse_link_outside(location, files)
        data = read_bytes(location, max_pixels)
        sha256 = hashlib.sha256(data).hexdigest()
        pixels, complaint = examined_image(data, location, max_pixels)
    except ImageError as error:
        return _row(number, labels, sha256, size_bytes, mtime_ns, status="unreadable", reason=error.reason)
    height, width, _ = pixels.shape
    return _row(number, labels, sha256, size_bytes, mtime_ns, width, height, reason=complaint)


def _is_as_before(old: ImageRow, size_bytes: int, mtime_ns: int) -> bool:
    return old.status == "ok" and (old.size_bytes, old.mtime_ns) == (size_bytes, mtime_ns)


def _row(
    number: int,
    labels: Annotation,
    sha256: str = "",
    size_bytes: int = 0,
    mtime_ns: int = 0,
    width: int = 0,
    height: int = 0,
    status: Status = "ok",
    reason: str = "",
) -> ImageRow:
    return ImageRow(
        number,
        labels.path,
        width,
        height,
        sha256,
        size_bytes,
        mtime_ns,
        status,
        reason,
        labels.faces,
        labels.is_valid,
        labels.attributes,
    )


def _refuse_link_outside(location: Path, files: SplitFiles) -> None:
    """Raise ImageError if a path of an annotation file leads out of the data set through a link.

    In a folder without annotations, the user put the link there.
    """
    if files.annotations is None:
        return
    target = location.resolve()
    if not any(target.is_relative_to(folder.resolve()) for folder in (files.image_folder, files.data_root)):
        raise ImageError(location, f"it is a link that leads out of the data set, to {target}: refused")
