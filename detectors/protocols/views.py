"""A view: the size at which a detector sees an image, mirrored or not."""

from dataclasses import dataclass, replace
from typing import Final, Literal

import cv2
import numpy as np
from jaxtyping import UInt8

from crface.geometry import Placement

Side = Literal["original", "short", "long", "height"]
"""The side of an image whose size a view sets; `original`: none, the image keeps its size."""

RESIZING: Final = {"version": 1, "enlarging": "bilinear", "shrinking": "area"}
"""How pixels are resized (with half-pixel centres); part of the fingerprint of everything computed from them."""

_WORDS: Final = {"short": "short side", "long": "long side", "height": "height"}


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """A rule that resizes an image without changing its aspect ratio, with or without mirroring.

    Raises ValueError for impossible sizes.
    """

    side: Side = "original"
    px: int | None = None
    """The size of that side in pixels; None for the original size."""
    long_at_most_px: int | None = None
    """Limit of the long side, which takes precedence over `px`; None: no limit."""
    is_mirrored: bool = False
    """Whether left and right are exchanged."""

    def __post_init__(self) -> None:
        if (self.px is None) != (self.side == "original"):
            raise ValueError(
                f"a view of {self.side} size has px = {self.px}: all but original have a size in px"
            )
        for size in (self.px, self.long_at_most_px):
            if size is not None and size < 1:
                raise ValueError(f"a view of {size} px shows nothing: sizes are 1 or more")

    @property
    def name(self) -> str:
        """The view's unique name as one word: `original`, `short-500-mirrored`, `short-1600-max-2150`."""
        limit = f"max-{self.long_at_most_px}" if self.long_at_most_px else ""
        words = (self.side, str(self.px or ""), limit, "mirrored" if self.is_mirrored else "")
        return "-".join(word for word in words if word)

    @property
    def size_in_words(self) -> str:
        """The view's size in words, without mirroring: `short side 1600, long at most 2150`."""
        size = "original" if self.side == "original" else f"{_WORDS[self.side]} {self.px}"
        return f"{size}, long at most {self.long_at_most_px}" if self.long_at_most_px else size

    def size(self, height: int, width: int) -> tuple[int, int]:
        """The (height, width) at which an image is shown, each rounded to the nearest pixel and at least one."""
        long = max(height, width)
        named = {"original": 1, "short": min(height, width), "long": long, "height": height}[self.side]
        wanted = self.px or 1
        if self.long_at_most_px and long * wanted > self.long_at_most_px * named:
            wanted, named = self.long_at_most_px, long
        return max(1, round(height * wanted / named)), max(1, round(width * wanted / named))

    def placement(self, height: int, width: int) -> Placement:
        """The map from coordinates of the image to coordinates of the view."""
        placement = Placement().mirrored(width) if self.is_mirrored else Placement()
        return placement.resized(height, width, *self.size(height, width))

    def limited(self, max_side_px: int) -> "View":
        """The view with no side longer than `max_side_px`; itself if that changes nothing."""
        limit = min(max_side_px, self.long_at_most_px or max_side_px)
        if self.side == "long" and self.px is not None:  # the longer side is known in advance
            return replace(self, px=min(self.px, limit), long_at_most_px=None)
        return replace(self, long_at_most_px=limit)


def resized(image: UInt8[np.ndarray, "_ _ 3"], height: int, width: int) -> UInt8[np.ndarray, "_ _ 3"]:
    """An image at another size of the same aspect ratio: area-averaged when shrunk, bilinear when enlarged.

    Area averaging does not alias, which matters when a photograph of 4000 pixels is shown at 640.
    """
    if image.shape[:2] == (height, width):
        return image
    is_shrunk = height * width < image.shape[0] * image.shape[1]
    interpolation = cv2.INTER_AREA if is_shrunk else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, (width, height), interpolation=interpolation), np.uint8)
