"""Decoding of image files: the only decoder, used by every stage."""

from pathlib import Path

import cv2
import numpy as np

from crface.array_shapes import RgbImage
from crface.file_kind import kind_of_bytes
from pipeline.errors import UserError
from pipeline.images.complaints import with_complaints
from pipeline.images.header import Format, header_size, image_format, jpeg_damage, refused_format

MAX_PIXELS = 200_000_000
"""Larger images are refused before decoding: 600 MB of RGB bytes, five times an 8K by 4K frame."""

MAX_SIDE = 1_000_000
"""Longer images are refused before decoding: libpng's own limit, and just under OpenCV's."""

DECODING = {"version": 1, "orientation": "stored", "color": "RGB uint8"}
"""What decides an image's pixels besides its bytes; part of the fingerprint of everything computed from them.

The version stands for the whole policy stated in `read_image`, and is raised when any of it changes.
"""

_MAX_BYTES_PER_PIXEL = 8  # 16-bit RGBA, uncompressed
_HEAD_BYTES = 64 * 1024

# OpenCV and its codecs would write messages over the progress bar; ours name the file
if hasattr(cv2.utils, "logging"):
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
else:  # OpenCV 4
    vars(cv2)["setLogLevel"](0)


class ImageError(UserError):
    """An image cannot be read; `reason` says why, and the message names the file as well."""

    def __init__(self, path: Path, reason: str):
        super().__init__(path, reason)  # both in args, so that the error survives a trip through pickle
        self.path = path
        self.reason = reason

    def __str__(self) -> str:
        return f"cannot read the image {self.path}: {self.reason}"


def read_image(path: Path, max_pixels: int = MAX_PIXELS) -> RgbImage:
    """An image file decoded to RGB; a file that cannot be read whole is an error, never a half-grey image.

    JPEG, PNG, WebP and BMP are read, recognised by their bytes and not by their name:

    - grey becomes three equal channels, a palette its colours, one bit black and white;
    - of 16 bits per channel the high byte is kept (0x12FF becomes 0x12), with no stretch and no gamma: a 12-bit
      picture in a 16-bit file comes out dark;
    - transparency is dropped and a transparent pixel shows its stored colour: no background is invented;
    - CMYK is read as Adobe stores it (0 is full ink), with the plain formula and without its ink profile;
    - colour profiles and PNG's gamma are not applied; of an animation the first frame is read.

    Other formats are refused by name. OpenCV would read TIFF, but rotate it by its orientation even when told
    not to, and blend its transparency into black; it reads AVIF in some builds only.

    Orientation: pixels are returned as stored; an EXIF orientation is not applied. The boxes of WIDER FACE are
    in stored pixels, as the MATLAB tools of its ground truth and evaluation read them. A picture rotated away
    from its labels would silently spoil an AP, while an unlabelled photograph lying on its side is noticed at
    once and is fixed by rotating its pixels.

    Raises ImageError with the reason: missing, not a file, not an image, of an unsupported format, of more than
    `max_pixels` or with a side above `MAX_SIDE` (both read from the header, before decoding), cut short, or
    damaged. Changed bytes inside a JPEG's compressed data may go unnoticed here, because the format has no
    checksum; the index notices them by their hash.
    """
    return decode_image(read_bytes(path, max_pixels), path, max_pixels)


def read_bytes(path: Path, max_pixels: int = MAX_PIXELS) -> bytes:
    """An image file's bytes, never empty.

    Raises ImageError if it is missing, not a file, empty, or larger than `max_pixels` pixels can be.
    """
    try:
        size_bytes = _file_size(path)
        if size_bytes > max_pixels * _MAX_BYTES_PER_PIXEL + _HEAD_BYTES:
            raise ImageError(path, f"its {size_bytes:,} bytes are more than {max_pixels:,} pixels can take")
        return path.read_bytes()
    except OSError as error:
        raise ImageError(path, error.strerror or str(error)) from error


def decode_image(data: bytes, path: Path, max_pixels: int = MAX_PIXELS) -> RgbImage:
    """An image's bytes decoded to RGB as in `read_image`; `path` only serves the message.

    Raises ImageError.
    """
    return examined_image(data, path, max_pixels)[0]


def examined_image(data: bytes, path: Path, max_pixels: int = MAX_PIXELS) -> tuple[RgbImage, str]:
    """The pixels that `decode_image` gives, and the decoder's complaint about damage that it worked around.

    The complaint is in the decoder's own words, such as "Corrupt JPEG data: 419 extraneous bytes before marker 0xd9";
    empty for none.

    Raises ImageError.
    """
    kind, (width, height) = _described(data, path)
    if width * height > max_pixels:
        raise ImageError(path, f"its {width} x {height} pixels are more than {max_pixels:,}")
    if max(width, height) > MAX_SIDE:
        raise ImageError(path, f"a side of its {width} x {height} pixels is longer than {MAX_SIDE:,}")
    if kind == "JPEG" and (damage := jpeg_damage(data)):
        raise ImageError(path, damage)
    flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    try:
        bgr, complaint = with_complaints(lambda: cv2.imdecode(np.frombuffer(data, np.uint8), flags))
    except cv2.error as error:
        raise ImageError(path, f"it is damaged: {error.err or 'OpenCV cannot decode it'}") from error
    if bgr is None:
        why = f" ({complaint})" if complaint else ""
        raise ImageError(path, f"it is damaged or cut short: its {kind} data cannot be decoded{why}")
    if bgr.shape != (height, width, 3):
        decoded = f"{bgr.shape[1]} x {bgr.shape[0]}"
        raise ImageError(path, f"it is damaged: {width} x {height} pixels announced, {decoded} decoded")
    return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB, dst=bgr), dtype=np.uint8), complaint


def _file_size(path: Path) -> int:
    if not path.is_file():
        raise ImageError(path, "it is no file" if path.exists() else "there is no such file")
    size_bytes = path.stat().st_size
    if size_bytes == 0:
        raise ImageError(path, "the file is empty")
    return size_bytes


def _described(data: bytes, path: Path) -> tuple[Format, tuple[int, int]]:
    kind = image_format(data)
    if kind is None and (refused := refused_format(data)):
        raise ImageError(path, f"it is a {refused} image, which is not read here: convert it to PNG or JPEG")
    if kind is None:
        other = kind_of_bytes(data[:_HEAD_BYTES])
        found = "" if other is None else f" but {other.name}: {other.remedy}"
        raise ImageError(path, f"it is no JPEG, PNG, WebP or BMP image{found}")
    size = header_size(data, kind)
    if size is None:
        raise ImageError(path, f"it is damaged or cut short: its {kind} header does not tell its size")
    return kind, size
