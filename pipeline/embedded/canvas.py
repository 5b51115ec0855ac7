"""Antialiased shapes, and pasting them into a picture while recording what covers what."""

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float, Int16, UInt8

Colour = tuple[float, float, float]
"""Red, green, blue, 0..255."""
Points = Float[np.ndarray, "point 2"]

_SHIFT = (
    4  # OpenCV takes polygon corners as integers; four fractional bits place them to a sixteenth of a pixel
)


_BAND_ROWS = 512


class Canvas:
    """A transparent surface in premultiplied RGBA, with a mask of the face region still in view."""

    def __init__(self, height: int, width: int) -> None:
        self.rgba: UInt8[np.ndarray, "height width 4"] = np.zeros((height, width, 4), np.uint8)
        self.face: UInt8[np.ndarray, "height width"] = np.zeros((height, width), np.uint8)

    def polygon(self, points: Points, colour: Colour, *, hides_face: bool = False) -> None:
        """Fill a polygon; with `hides_face`, what it covers is removed from the face region."""
        corners = _fixed(points)
        # a transparent edge blends towards (0, 0, 0, 0), which is exactly premultiplied colour
        cv2.fillPoly(self.rgba, [corners], (*colour, 255.0), cv2.LINE_AA, _SHIFT)
        if hides_face:
            cv2.fillPoly(self.face, [corners], 0, cv2.LINE_8, _SHIFT)

    def line(self, points: Points, colour: Colour, thickness_px: float, *, closed: bool = False) -> None:
        """Draw a polyline, at least one pixel thick."""
        thickness = max(1, round(thickness_px))
        cv2.polylines(self.rgba, [_fixed(points)], closed, (*colour, 255.0), thickness, cv2.LINE_AA, _SHIFT)

    def mark_face(self, points: Points) -> None:
        """Mark a polygon as face region, in view until something hides it."""
        cv2.fillPoly(self.face, [_fixed(points)], 255, cv2.LINE_8, _SHIFT)

    def shade(self, factor: Float[np.ndarray, "rows columns"], top: int, left: int) -> None:
        """Multiply the colours of a rectangle by a light factor; coverage is unchanged."""
        part = self.rgba[top : top + factor.shape[0], left : left + factor.shape[1]]
        light = part[..., :3] * factor[..., None]
        part[..., :3] = np.minimum(light, part[..., 3:])  # premultiplied colour may not exceed its coverage


@dataclass(frozen=True, slots=True)
class Sprite:
    """A finished drawing, to be pasted into a picture with its anchor at a given place.

    `face` is true where the face region is in view; `outline` is the outline of the face region and `face_area_px`
    its full area, both including what an accessory covers. Without a face, `outline` has no points.
    """

    rgba: UInt8[np.ndarray, "height width 4"]
    face: Bool[np.ndarray, "height width"]
    outline: Points
    face_area_px: float
    anchor: tuple[float, float]

    def cropped(self, left: int, top: int, right: int, bottom: int) -> "Sprite":
        """A rectangle of the sprite; what it knows of the whole face stays that of the whole face."""
        return Sprite(
            self.rgba[top:bottom, left:right],
            self.face[top:bottom, left:right],
            self.outline - np.array([left, top]),
            self.face_area_px,
            (self.anchor[0] - left, self.anchor[1] - top),
        )

    def resized(self, scale: float) -> "Sprite":
        """The sprite at another size, area-averaged."""
        height, width = self.face.shape
        new_width, new_height = max(1, round(width * scale)), max(1, round(height * scale))
        by = np.array([new_width / width, new_height / height])
        how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
        face = (
            cv2.resize(self.face.astype(np.float32), (new_width, new_height), interpolation=cv2.INTER_AREA)
            > 0.5
        )
        anchor = (float(self.anchor[0] * by[0]), float(self.anchor[1] * by[1]))
        return Sprite(
            cv2.resize(self.rgba, (new_width, new_height), interpolation=how),
            face,
            self.outline * by,
            float(self.face_area_px * by[0] * by[1]),
            anchor,
        )

    def blurred(self, sigma_px: float) -> "Sprite":
        """The sprite out of focus; its mask of the face region stays sharp."""
        if sigma_px < 0.2:
            return self
        margin = int(np.ceil(2.5 * sigma_px))
        rgba = cv2.copyMakeBorder(
            self.rgba, margin, margin, margin, margin, cv2.BORDER_CONSTANT, value=(0, 0, 0, 0)
        )
        return Sprite(
            cv2.GaussianBlur(rgba, (0, 0), sigma_px),
            np.pad(self.face, margin),
            self.outline + margin,
            self.face_area_px,
            (self.anchor[0] + margin, self.anchor[1] + margin),
        )


@dataclass(frozen=True, slots=True)
class Veil:
    """What the air hides of a sprite: `share` of its colour, replaced with `colour`."""

    colour: Colour
    share: float


def paste(
    image: UInt8[np.ndarray, "height width 3"],
    owner: Int16[np.ndarray, "height width"],
    sprite: Sprite,
    at: tuple[float, float],
    number: int,
    light: Colour = (1.0, 1.0, 1.0),
    veil: Veil | None = None,
) -> tuple[int, int]:
    """Blend a sprite into the picture, in place; returns the offset from sprite to picture coordinates.

    `owner` holds, per pixel, the number of the face seen there; whatever the sprite covers is taken from earlier
    faces, and its own face region gets `number` (a sprite without a face sets none). `light` multiplies colours; the
    `veil` then lies over them.
    """
    left, top = round(at[0] - sprite.anchor[0]), round(at[1] - sprite.anchor[1])
    height, width = owner.shape
    y0, x0 = max(0, top), max(0, left)
    y1, x1 = min(height, top + sprite.face.shape[0]), min(width, left + sprite.face.shape[1])
    if y0 >= y1 or x0 >= x1:
        return left, top
    # in bands of rows, as numbers with a fraction take four times the memory of the picture
    for above in range(y0, y1, _BAND_ROWS):
        under = min(above + _BAND_ROWS, y1)
        window = np.s_[above - top : under - top, x0 - left : x1 - left]
        rgba, face = sprite.rgba[window].astype(np.float32), sprite.face[window]
        below, region = image[above:under, x0:x1], owner[above:under, x0:x1]
        seen = rgba[..., :3] * np.asarray(light, np.float32)
        if veil is not None:
            cover = rgba[..., 3:] * np.float32(veil.share / 255)
            seen = seen * np.float32(1 - veil.share) + cover * np.asarray(veil.colour, np.float32)
        mixed = below * (1 - rgba[..., 3:] / 255) + seen
        np.copyto(below, np.clip(mixed, 0, 255).astype(np.uint8))
        region[rgba[..., 3] > 127] = -1
        region[face] = number
    return left, top


def ellipse(
    centre: tuple[float, float], radii: tuple[float, float], angle: float = 0.0, num_points: int = 24
) -> Points:
    """Points on an ellipse rotated by `angle` radians."""
    t = np.linspace(0, 2 * np.pi, num_points, endpoint=False)
    x, y = radii[0] * np.cos(t), radii[1] * np.sin(t)
    c, s = np.cos(angle), np.sin(angle)
    return np.stack([centre[0] + c * x - s * y, centre[1] + s * x + c * y], axis=1)


def hull(points: Points) -> Points:
    """The convex hull of points."""
    return cv2.convexHull(points.astype(np.float32))[:, 0].astype(np.float64)


def fill(image: np.ndarray, points: Points, colour: Colour | float, *, is_smooth: bool = True) -> None:
    """Fill a polygon in an image of one or more channels, in place; `is_smooth`: antialiased."""
    cv2.fillPoly(image, [_fixed(points)], colour, cv2.LINE_AA if is_smooth else cv2.LINE_8, _SHIFT)


def _fixed(points: Points) -> np.ndarray:
    return np.round(points * (1 << _SHIFT)).astype(np.int32)
