"""The format and size of an image file, and whether its end is there, before it is decoded.

They are read from the bytes alone, so that a huge image is refused before anything is allocated (OpenCV asserts
above 2^30 pixels), and a cut JPEG is noticed (a decoder may fill the missing part with grey).
"""

import struct
from typing import Literal

import numpy as np

Format = Literal["JPEG", "PNG", "WebP", "BMP"]

SUFFIXES = frozenset({".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp"})
"""Suffixes of the images that are read, in lower case."""

REFUSED_SUFFIXES = frozenset({".tif", ".tiff", ".gif", ".avif", ".heic", ".heif", ".jp2", ".jxl"})
"""Suffixes of images that are refused by name, so that a folder of them is not silently skipped."""

_REFUSED_STARTS = {
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"II+\0": "TIFF",
    b"MM\0+": "TIFF",
    b"GIF8": "GIF",
    b"\0\0\0\x0cjP  ": "JPEG 2000",
    b"\xff\x4f\xff\x51": "JPEG 2000",
    b"\0\0\0\x0cJXL ": "JPEG XL",
    b"\xff\x0a": "JPEG XL",
}
_REFUSED_BRANDS = {
    b"avif": "AVIF",
    b"avis": "AVIF",
    b"heic": "HEIC",
    b"heix": "HEIC",
    b"mif1": "HEIC or AVIF",
}
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_JPEG_WITHOUT_LENGTH = {0x01, *range(0xD0, 0xD8)}  # TEM, RST0..7
_JPEG_FRAME = set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # SOF0..15 without DHT, JPG, DAC
_JPEG_AFTER_SCAN = {0xC4, 0xD9, 0xDA, 0xDB, 0xDC, 0xDD, 0xFE, *range(0xE0, 0xF0)}
_EOI, _SOS = 0xD9, 0xDA


def image_format(head: bytes) -> Format | None:
    """The format, from a file's first 12 bytes or more; None if this project does not read it."""
    if head.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if head.startswith(_PNG_SIGNATURE):
        return "PNG"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WebP"
    if head.startswith(b"BM"):
        return "BMP"
    return None


def refused_format(head: bytes) -> str:
    """The name of an image format that this project does not read, from 12 bytes or more; empty for all others."""
    if head[4:8] == b"ftyp":
        return _REFUSED_BRANDS.get(head[8:12], "")
    return next((name for start, name in _REFUSED_STARTS.items() if head.startswith(start)), "")


def header_size(data: bytes, kind: Format) -> tuple[int, int] | None:
    """Width and height in stored pixels; None if the header lacks them (cut short or damaged).

    `data` is the beginning of the file or all of it.
    """
    try:
        match kind:
            case "JPEG":
                size = _jpeg_size(data)
            case "PNG":
                size = struct.unpack_from(">II", data, 16) if data[12:16] == b"IHDR" else None
            case "WebP":
                size = _webp_size(data)
            case "BMP":
                size = _bmp_size(data)
    except (struct.error, IndexError):
        return None
    return size if size is not None and min(size) > 0 else None


def jpeg_damage(data: bytes) -> str:
    """What is wrong with a JPEG's structure; empty if nothing is.

    Its markers are followed to the end of the image, which finds a cut file and one whose tail was never written.
    Changed bytes inside the compressed data are found only if they break the structure: the format has no
    checksum.
    """
    values = np.frombuffer(data, np.uint8)
    after = values[1:]
    # within a scan, FF 00 is a stuffed byte, FF FF a filler and FF D0..D7 are restarts: anything else ends it
    scan_ends = np.flatnonzero(
        (values[:-1] == 0xFF) & (after != 0) & (after != 0xFF) & ((after & 0xF8) != 0xD0)
    )
    position = 2
    while True:
        segment = _next_segment(data, position)
        if segment is None:
            return "it is cut short: the end-of-image marker is missing"
        marker, start, end = segment
        if marker == _EOI:
            return ""
        if marker == _SOS:
            following = int(np.searchsorted(scan_ends, end))
            if following == len(scan_ends):
                return "it is cut short: the end-of-image marker is missing"
            end = int(scan_ends[following])
            if data[end + 1] not in _JPEG_AFTER_SCAN:
                return f"it is damaged: marker FF{data[end + 1]:02X} in the middle of the image data"
        elif start == end:
            return "it is damaged: bytes between its segments"
        position = end


def _next_segment(data: bytes, position: int) -> tuple[int, int, int] | None:
    """A segment's marker, start and end; start == end if there is no marker, None past the end."""
    while data[position : position + 2] == b"\xff\xff":
        position += 1
    if position + 2 > len(data):
        return None
    if data[position] != 0xFF:
        return 0, position, position
    marker = data[position + 1]
    if marker == _EOI or marker in _JPEG_WITHOUT_LENGTH:
        return marker, position, position + 2
    if position + 4 > len(data):
        return None
    end = position + 2 + max(2, int.from_bytes(data[position + 2 : position + 4], "big"))
    return None if end > len(data) else (marker, position, end)


def _jpeg_size(data: bytes) -> tuple[int, int] | None:
    position = 2
    while (segment := _next_segment(data, position)) is not None:
        marker, start, end = segment
        if marker in _JPEG_FRAME:
            height, width = struct.unpack_from(">HH", data, start + 5)
            return width, height
        if start == end or marker in (_SOS, _EOI):
            return None
        position = end
    return None


def _webp_size(data: bytes) -> tuple[int, int] | None:
    chunk = data[12:16]
    if chunk == b"VP8X":
        return 1 + int.from_bytes(data[24:27], "little"), 1 + int.from_bytes(data[27:30], "little")
    if chunk == b"VP8L" and data[20] == 0x2F:
        bits = int.from_bytes(data[21:25], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if chunk == b"VP8 " and data[23:26] == b"\x9d\x01\x2a":
        width, height = struct.unpack_from("<HH", data, 26)
        return width & 0x3FFF, height & 0x3FFF
    return None


def _bmp_size(data: bytes) -> tuple[int, int]:
    if struct.unpack_from("<I", data, 14)[0] == 12:  # the OS/2 header
        width, height = struct.unpack_from("<HH", data, 18)
    else:
        width, height = struct.unpack_from("<ii", data, 18)
    return width, abs(height)  # negative: stored top row first
