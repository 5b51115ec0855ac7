"""The images of a block, decoded one by one while the stage works on the previous ones."""

import hashlib
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice

from crface.array_shapes import RgbImage
from pipeline.blocks.commit import ComputedRow
from pipeline.dataset.index import ImageRow, Index, IndexPart
from pipeline.images.decode import ImageError, decode_image, read_bytes

_IMAGES_AHEAD = 2  # little memory, yet a stage slower than the decoder never waits


@dataclass(frozen=True, slots=True)
class DecodedImage:
    """An image of the index with its pixels."""

    row: ImageRow
    pixels: RgbImage


def decoded_images(
    index: Index | IndexPart, rows: Sequence[int], max_pixels: int
) -> Iterator[DecodedImage | ComputedRow]:
    """The rows' images in order, each decoded ahead on a thread; none for no rows.

    Where there is no image to compute from, the row's result comes instead, without values. If the image is
    missing or unreadable, the result names the reason and is final. If the file cannot be read just now or its
    bytes differ from the index, the next run computes it again. If the image was removed, there is no error.
    """
    todo = iter(rows)
    with ThreadPoolExecutor(1, thread_name_prefix="decode") as pool:

        def started(num_rows: int) -> list[Future[DecodedImage | ComputedRow]]:
            return [pool.submit(_decode, index, row, max_pixels) for row in islice(todo, num_rows)]

        ahead = deque(started(_IMAGES_AHEAD))
        while ahead:
            image = ahead.popleft().result()
            ahead.extend(started(1))
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
