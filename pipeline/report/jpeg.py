"""Pictures made small enough to lie in a page."""

import base64

import cv2
import numpy as np
from jaxtyping import UInt8

_JPEG_QUALITY = 80


def reduced_jpeg(pixels: UInt8[np.ndarray, "height width 3"], long_side_px: int) -> bytes:
    """An RGB image as JPEG, reduced to at most this long side."""
    height, width, _ = pixels.shape
    scale = min(1.0, long_side_px / max(width, height))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    reduced = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    ok, data = cv2.imencode(
        ".jpg", cv2.cvtColor(reduced, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY]
    )
    assert ok  # an 8-bit image of three channels always encodes
    return data.tobytes()


def data_uri(jpeg: bytes) -> str:
    """A JPEG as the address of a picture inside the page."""
    return "data:image/jpeg;base64," + base64.b64encode(jpeg).decode()
