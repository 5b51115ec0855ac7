"""An image reduced to a JPEG, for a page or for the local viewer."""

import base64

import cv2
import numpy as np
from jaxtyping import UInt8

_QUALITY = 78


def reduced_jpeg(pixels: UInt8[np.ndarray, "height width 3"], long_side_px: int) -> bytes:
    """The image as JPEG with a long side of at most `long_side_px`."""
    height, width, _ = pixels.shape
    scale = min(1.0, long_side_px / max(width, height))
    if scale < 1:
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        pixels = np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)
    bgr = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR)
    ok, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    assert ok  # an 8-bit image of three channels always encodes
    return data.tobytes()


def data_uri(jpeg: bytes) -> str:
    """A JPEG as an address that needs no file."""
    return "data:image/jpeg;base64," + base64.b64encode(jpeg).decode()
