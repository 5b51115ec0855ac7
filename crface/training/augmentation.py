"""Random pictures from one photograph, and its boxes moved along with it (paper 4.2).

"For data augmentation, we randomly crop, scale, mirror, and change brightness, contrast, hue, and saturation.
When we transform the image, we use the same transformation on the predicted box from the face detector
directly, without rerunning the augmented image." The paper gives no amounts; the constants below are ours.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float32, UInt8

from crface.array_shapes import RgbImage

SMALLEST_CROP = 0.6
"""Least share of either side that a crop keeps; half of the pictures are not cropped at all."""
SMALLEST_SCALE = 0.75
"""The long side of a picture is drawn between this share of the square's side and all of it."""
SMALLEST_WIDE_SCALE = 0.35
"""The same for wide transforms, where the logarithm is drawn evenly."""
STRONGEST_BLUR = 0.35
"""Least share of either side that a blurred picture is shrunk to; half of those of wide transforms are blurred."""
BRIGHTNESS = 32.0
"""Greatest addition to every channel, of 255."""
CONTRAST = 0.3
"""Greatest relative change of the distance from middle grey."""
SATURATION = 0.3
"""Greatest relative change of the distance from grey of equal luma."""
HUE_DEGREES = 18.0
"""Greatest turn of the colour circle."""

_LUMA = np.array([0.299, 0.587, 0.114])
_RGB_TO_YIQ = np.array([_LUMA, [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]])


@dataclass(frozen=True, slots=True, kw_only=True)
class Transform:
    """One draw: which window of a photograph, at what size, mirrored or not, in which colours."""

    window: tuple[int, int, int, int]
    """Left, top, width, height of the crop, in pixels of the photograph."""
    size: tuple[int, int]
    """Width and height of the picture that it becomes."""
    is_mirrored: bool
    colours: Float32[np.ndarray, "3 4"]
    """Affine map of (r, g, b, 1)."""
    blur: tuple[float, float] = (1.0, 1.0)
    """Shares of its width and height that the picture is shrunk to and enlarged again; 1: it is not."""

    def picture(self, image: RgbImage) -> UInt8[np.ndarray, "rows columns 3"]:
        """The picture of an RGB photograph."""
        left, top, width, height = self.window
        cropped = image[top : top + height, left : left + width]
        is_smaller = self.size[0] < width
        # area averaging does not alias when shrinking; it would be a nearest neighbour when enlarging
        scaled = cv2.resize(
            cropped, self.size, interpolation=cv2.INTER_AREA if is_smaller else cv2.INTER_LINEAR
        )
        if self.blur != (1.0, 1.0):
            shrunk = tuple(
                max(1, round(side * share)) for side, share in zip(self.size, self.blur, strict=True)
            )
            scaled = cv2.resize(scaled, shrunk, interpolation=cv2.INTER_AREA)
            scaled = cv2.resize(scaled, self.size, interpolation=cv2.INTER_LINEAR)
        coloured = cv2.transform(scaled, self.colours)  # rounds and saturates
        return np.asarray(cv2.flip(coloured, 1) if self.is_mirrored else coloured, np.uint8)

    def holds(self, boxes: Float32[np.ndarray, "box 4"]) -> Bool[np.ndarray, " box"]:
        """Whether each box `x1 y1 x2 y2` has its centre in the window; the others are dropped."""
        left, top, width, height = self.window
        x, y = (boxes[:, 0] + boxes[:, 2]) / 2, (boxes[:, 1] + boxes[:, 3]) / 2
        inside: np.ndarray = (x >= left) & (x < left + width) & (y >= top) & (y < top + height)
        return inside

    def boxes(self, boxes: Float32[np.ndarray, "box 4"]) -> Float32[np.ndarray, "box 4"]:
        """Boxes `x1 y1 x2 y2` in pixels of the picture; they may reach beyond its edges.

        Not clipped there: IoU does not change under a crop without clipping, a change of scale or a mirror,
        so the oracle confidence of the moved boxes is that of the original ones.
        """
        left, top, width, height = self.window
        columns, rows = self.size
        scale = np.array([columns / width, rows / height, columns / width, rows / height], np.float32)
        moved: np.ndarray = (boxes - np.array([left, top, left, top], np.float32)) * scale
        if self.is_mirrored:  # the left edge becomes the right one
            moved[:, [0, 2]] = columns - moved[:, [2, 0]]
        return moved


def draw_transform(
    random: np.random.Generator, width: int, height: int, side_px: int, is_wide: bool = False
) -> Transform:
    """A random transform of a photograph of this size into a picture that fits a square of `side_px`.

    A wide one draws more variety from a few photographs than the paper does: much smaller pictures too, and blurred
    ones. The same generator state draws the same transform.
    """
    is_cropped = random.random() < 0.5
    shares = random.uniform(SMALLEST_CROP, 1.0, 2) if is_cropped else np.ones(2)
    window_width, window_height = max(1, round(width * shares[0])), max(1, round(height * shares[1]))
    left = int(random.integers(width - window_width + 1))
    top = int(random.integers(height - window_height + 1))
    long_side = side_px * (
        SMALLEST_WIDE_SCALE ** random.random() if is_wide else random.uniform(SMALLEST_SCALE, 1.0)
    )
    is_blurred = is_wide and random.random() < 0.5
    scale = long_side / max(window_width, window_height)
    return Transform(
        window=(left, top, window_width, window_height),
        size=(max(1, round(window_width * scale)), max(1, round(window_height * scale))),
        is_mirrored=bool(random.random() < 0.5),
        colours=colour_map(
            brightness=random.uniform(-BRIGHTNESS, BRIGHTNESS),
            contrast=random.uniform(1 - CONTRAST, 1 + CONTRAST),
            saturation=random.uniform(1 - SATURATION, 1 + SATURATION),
            hue_degrees=random.uniform(-HUE_DEGREES, HUE_DEGREES),
        ),
        blur=(random.uniform(STRONGEST_BLUR, 1.0), random.uniform(STRONGEST_BLUR, 1.0))
        if is_blurred
        else (1.0, 1.0),
    )


def colour_map(
    brightness: float, contrast: float, saturation: float, hue_degrees: float
) -> Float32[np.ndarray, "3 4"]:
    """The affine map of (r, g, b, 1) for all four changes at once; (0, 1, 1, 0) changes nothing.

    Hue turns and saturation stretches the chroma plane of YIQ, which leaves the luma alone; contrast
    stretches about middle grey (127.5), brightness adds. One 3 x 4 product per pixel in place of a trip
    through HSV.
    """
    turn = np.deg2rad(hue_degrees)
    chroma = saturation * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    yiq = np.block([[np.ones((1, 1)), np.zeros((1, 2))], [np.zeros((2, 1)), chroma]])
    linear = contrast * np.linalg.inv(_RGB_TO_YIQ) @ yiq @ _RGB_TO_YIQ
    offset = np.full((3, 1), 127.5 * (1 - contrast) + brightness)
    return np.hstack([linear, offset]).astype(np.float32)
