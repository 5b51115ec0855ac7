"""The images of a block, decoded one by one while the stage works on the previous ones."""

import hashlib
import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from crface.array_shapes import RgbImage
from pipeline.blocks.commit import ComputedRow
from pipeline.dataset.index import ImageRow, Index, IndexPart
from pipeline.images.decode import ImageError, decode_image, read_bytes

GPU_AHEAD_PIXELS = 8_000_000
"""Pixels to decode ahead of a GPU: about 26 VGA images, 24 MB."""

_IMAGES_AHEAD = 2  # little memory, yet a stage slower than the decoder never waits
_MAX_THREADS = 4  # a stage quicker than one decoder: on a GPU a light detector takes a millisecond an image


@dataclass(frozen=True, slots=True)
class DecodedImage:
    """An image of the index with its pixels."""

    row: ImageRow
    pixels: RgbImage


def decoded_images(
    index: Index | IndexPart, rows: Sequence[int], max_pixels: int, ahead_pixels: int = 0
) -> Iterator[DecodedImage | ComputedRow]:
    """The rows' images in order, each decoded ahead on a thread; none for no rows.

    Two images are decoded ahead; with `ahead_pixels`, as many as have that many pixels together, on several threads:
    for a stage that takes many images at once.

    Where there is no image to compute from, the row's result comes instead, without values. If the image is
    missing or unreadable, the result names the reason and is final. If the file cannot be read just now or its
    bytes differ from the index, the next run computes it again. If the image was removed, there is no error.
    """
    todo = deque(rows)
    ahead: deque[tuple[Future[DecodedImage | ComputedRow], int]] = deque()
    num_threads = min(_MAX_THREADS, os.cpu_count() or 1) if ahead_pixels else 1
    with ThreadPoolExecutor(num_threads, thread_name_prefix="decode") as pool:

        def fill(pixels: int) -> int:
            while todo and (len(ahead) < _IMAGES_AHEAD or pixels < ahead_pixels):
                row = index.row(todo.popleft())
                ahead.append((pool.submit(_decode, index, row.row, max_pixels), row.width * row.height))
                pixels += row.width * row.height
            return pixels

        pixels = fill(0)
        while ahead:
            future, num_pixels = ahead.popleft()
            image = future.result()
            pixels = fill(pixels - num_pixels)
            yield image


def _decode(index: Index | IndexPart, number: int, max_pixels: int) -> DecodedImage | ComputedRow:
    row = index.row(number)
    if row.status != "ok":
        return _failed(row, "", "" if row.status == "removed" else row.reason)
    path = index.image_path(number)
    max_pixels = max(max_pixels, row.width * row.height)  # it may have been indexed with a higher limit
    try:
        data = read_bytes(path, max_pixels)
    except ImageError as error:
        return _failed(row, "", error.reason)
    if hashlib.sha256(data).hexdigest() != row.sha256:
        return _failed(row, "", "it changed since it was indexed; run the command again")
    try:
        return DecodedImage(row, decode_image(data, path, max_pixels))
    except ImageError as error:
        return _failed(row, row.sha256, error.reason)


def _failed(row: ImageRow, digest: str, reason: str) -> ComputedRow:
    return ComputedRow(row.row, None, digest, f"{row.path}: {reason}" if reason else "")
