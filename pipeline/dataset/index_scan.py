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
    labels: Mapping[str, Annotation | ImageRow],
    old_rows: Mapping[str, ImageRow],
    progress: Callable[[int, int], None] | None,
    max_pixels: int,
) -> list[ImageRow]:
    """One row for each path of `order`, in that order; a path without an entry in `labels` is no longer listed.

    An old row is kept without reading its file if it is ok, within `max_pixels`, and the file's size and
    modification time are the same. All other files are read, hashed and decoded, several at a time (none of the
    three holds the GIL).
    """
    # handing a file to another thread takes longer than finding that nothing has changed
    folder = str(files.image_folder)
    rows = [_kept(files, folder, labels.get(path), old_rows.get(path), max_pixels) for path in order]
    unknown = [i for i, row in enumerate(rows) if row is None]
    num_known = len(order) - len(unknown)
    if progress is not None and num_known:
        progress(num_known, len(order))
    with ThreadPoolExecutor(min(_MAX_THREADS, os.cpu_count() or 1)) as pool:
        try:
            looked_at = pool.map(
                lambda i: _look_at(files, i, order[i], labels[order[i]], max_pixels), unknown
            )
            for num_looked_at, (i, row) in enumerate(zip(unknown, looked_at, strict=True), start=1):
                rows[i] = row
                if progress is not None:
                    progress(num_known + num_looked_at, len(order))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)  # Ctrl-C does not wait for thousands of images
            raise
    return [row for row in rows if row is not None]


def _kept(
    files: SplitFiles,
    folder: str,
    labels: Annotation | ImageRow | None,
    old: ImageRow | None,
    max_pixels: int,
) -> ImageRow | None:
    """The row of an image that is as it was, with today's labels, or no longer listed; None if it must be looked at."""
    if labels is None:
        assert old is not None  # a path is in `order` because it is or was listed
        return replace(
            old, status="removed", reason=f"no longer listed in {files.annotations or files.image_folder}"
        )
    if old is None or old.status != "ok" or old.width * old.height > max_pixels:
        return None
    try:
        info = os.stat(f"{folder}/{old.path}")  # noqa: PTH116 - a Path takes as long as the call
    except OSError:
        return None
    if (old.size_bytes, old.mtime_ns) != (info.st_size, info.st_mtime_ns):
        return None
    if labels.faces is old.faces and labels.attributes is old.attributes:
        return old
    return replace(old, faces=labels.faces, is_valid=labels.is_valid, attributes=labels.attributes)


def _look_at(
    files: SplitFiles,
    number: int,
    path: str,
    labels: Annotation | ImageRow,
    max_pixels: int,
) -> ImageRow:
    location = files.image_folder / path
    try:
        info = location.stat()
    except OSError as error:
        reason = "there is no such file" if isinstance(error, FileNotFoundError) else str(error.strerror)
        return _row(number, labels, status="missing", reason=reason)
    # The file's state is taken before its bytes: a change in between shows at the next update.
    size_bytes, mtime_ns = info.st_size, info.st_mtime_ns
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


def _row(
    number: int,
    labels: Annotation | ImageRow,
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
