"""The similarity of two images, 0..1: structural similarity of small grey copies.

The measure is SSIM (Wang et al., "Image quality assessment: from error visibility to structural similarity",
2004, equation 13) with K1 = 0.01, K2 = 0.03 and plain means over 7 x 7 windows, of images brought to 32 x 32 grey
pixels; negative values count as 0. The paper (4.1) drops duplicates "by computing image similarity with the threshold
greater 50%" and does not say which similarity.
"""

from typing import Final

import cv2
import numpy as np
import scipy.ndimage
from jaxtyping import Float32, UInt8

SIGNATURE_VERSION: Final = 1
"""Raised when signatures of the same pixels change."""

SIDE_PX: Final = 32
_WINDOW_PX: Final = 7
_INSIDE: Final = slice(_WINDOW_PX // 2, -(_WINDOW_PX // 2))  # windows that lie within the picture
_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2

Signature = UInt8[np.ndarray, "32 32"]


def signature(pixels: UInt8[np.ndarray, "_ _ 3"]) -> Signature:
    """An RGB image's small grey copy, area-averaged whatever its shape."""
    small = cv2.resize(pixels, (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY), np.uint8)


def similarity(a: Signature, b: Signature) -> float:
    """The similarity of two images: 1 for equal ones, about 0.1 to 0.3 for photographs of different things."""
    seen = Seen()
    seen.add(a)
    return seen.closest(b)[1]


class Seen:
    """The signatures to compare others with; 7 KB each."""

    def __init__(self) -> None:
        self._count = 0
        self._grey = np.zeros((64, SIDE_PX, SIDE_PX), np.uint8)
        self._mean = np.zeros((64, *self._windows), np.float32)
        self._variance = np.zeros_like(self._mean)

    @property
    def _windows(self) -> tuple[int, int]:
        side = SIDE_PX - _WINDOW_PX + 1
        return side, side

    def __len__(self) -> int:
        return self._count

    def add(self, new: Signature) -> None:
        """Add a signature; they are numbered from 0."""
        if self._count == len(self._grey):
            self._grey, self._mean, self._variance = (
                np.concatenate([old, np.zeros_like(old)]) for old in (self._grey, self._mean, self._variance)
            )
        self._grey[self._count] = new
        self._mean[self._count], self._variance[self._count] = _moments(new)
        self._count += 1

    def forget(self, count: int) -> None:
        """Keep only the first `count` signatures."""
        self._count = min(count, self._count)

    def closest(self, other: Signature) -> tuple[int, float]:
        """The number and similarity of the most similar one, the first of equals; (-1, 0.0) if there is none."""
        if self._count == 0:
            return -1, 0.0
        known = slice(self._count)
        mean, variance = _moments(other)
        products = self._grey[known].astype(np.float32) * other.astype(np.float32)
        covariance = _window_means(products) - self._mean[known] * mean
        luminance = (2 * self._mean[known] * mean + _C1) / (self._mean[known] ** 2 + mean**2 + _C1)
        structure = (2 * covariance + _C2) / (self._variance[known] + variance + _C2)
        alike = (luminance * structure).mean(axis=(1, 2))
        best = int(np.argmax(alike))
        return best, float(np.clip(alike[best], 0, 1))


def _moments(grey: Signature) -> tuple[Float32[np.ndarray, "w w"], Float32[np.ndarray, "w w"]]:
    values = grey.astype(np.float32)[None]
    mean = _window_means(values)[0]
    return mean, _window_means(values**2)[0] - mean**2


def _window_means(pictures: Float32[np.ndarray, "n 32 32"]) -> Float32[np.ndarray, "n w w"]:
    means = scipy.ndimage.uniform_filter(pictures, (1, _WINDOW_PX, _WINDOW_PX))
    return np.asarray(means[:, _INSIDE, _INSIDE], np.float32)
