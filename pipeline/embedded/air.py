"""What is in the air between the camera and the people: haze that thickens with distance, and falling snow."""

from dataclasses import dataclass

import cv2
import numpy as np

from pipeline.embedded.canvas import Colour, Veil, ellipse, fill
from pipeline.embedded.degrade import Image, Light, Rng
from pipeline.embedded.events import Range


@dataclass(frozen=True, slots=True, kw_only=True)
class Air:
    """One kind of air; strengths are those at difficulty 0.5."""

    haze: Range = (0.0, 0.0)
    """How thick the haze is: 0.7 hides half of a person whose face is 24 px high in a 640 px picture."""
    colours: tuple[Colour, ...] = ((205.0, 208.0, 212.0),)
    """The colours of the haze, one of them drawn for each picture."""
    flakes: Range = (0.0, 0.0)
    """How many snowflakes fall."""
    near_flakes: Range = (0.0, 0.0)
    """How many of them fall so close to the lens that they are out of focus."""


@dataclass(frozen=True, slots=True)
class Haze:
    """The haze of one picture."""

    thickness: float
    colour: Colour

    def veil(self, height_px: float) -> Veil:
        """What hides a thing as tall as a face of `height_px` in a 640 px picture: the smaller, the farther away."""
        return Veil(self.colour, min(0.82, 1 - float(np.exp(-self.thickness * 24 / height_px))))

    def over(self, scene: Image) -> Image:
        """The scene behind the people: nearly hidden down to the horizon, then less and less."""
        height = len(scene)
        below = np.maximum(np.arange(height, dtype=np.float32) / height - 0.4, 0.02)
        share = np.minimum(0.88, 1 - np.exp(-self.thickness * 0.35 / below))[:, None, None]
        hazy = scene * (1 - share) + np.asarray(self.colour, np.float32) * share
        return np.asarray(hazy, np.uint8)


def draw_haze(air: Air, strength: float, rng: Rng) -> Haze:
    """The haze of one picture, drawn at random."""
    colour = air.colours[int(rng.integers(len(air.colours)))]
    return Haze(strength * rng.uniform(*air.haze), colour)


def snowed(light: Light, air: Air, strength: float, rng: Rng) -> Light:
    """The light that passes the snowflakes: small ones everywhere, and a few blurred ones close to the lens."""
    height, width = light.shape[:2]
    size, wind = max(height, width) / 640, rng.normal(0, 0.8)
    small, near = (np.zeros((height, width), np.uint8) for _ in range(2))
    for _ in range(round(strength * rng.uniform(*air.flakes))):
        x, y = rng.uniform(0, width), rng.uniform(0, height)
        radius = min(0.5 + rng.exponential(0.5), 2.6) * size
        fill(small, ellipse((x, y), (radius, radius * rng.uniform(1, 2.6)), wind, 8), rng.uniform(90, 235))
    for _ in range(round(strength * rng.uniform(*air.near_flakes))):
        x, y, radius = rng.uniform(0, width), rng.uniform(0, height), rng.uniform(4, 15) * size
        fill(near, ellipse((x, y), (radius, radius), 0.0, 16), rng.uniform(60, 150))
    sharp, soft = cv2.GaussianBlur(small, (0, 0), 0.6 * size), cv2.GaussianBlur(near, (0, 0), 2.5 * size)
    cover = np.maximum(sharp, soft)[..., None] / np.float32(255)
    white = np.float32(min(240.0, 70 + 1.3 * float(light.mean())))  # flakes are as dark as the day
    return np.asarray(light * (1 - cover) + white * cover)
