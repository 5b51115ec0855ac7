"""Light after dark: little of it, in pools below lamps, and of the lamps' colour."""

from dataclasses import dataclass

import numpy as np

from pipeline.embedded.canvas import Colour
from pipeline.embedded.degrade import Light, Rng
from pipeline.embedded.events import Range


@dataclass(frozen=True, slots=True, kw_only=True)
class Lamplight:
    """One kind of dark; strengths are those at difficulty 0.5."""

    missing: Range
    """The share of light that is missing away from the lamps."""
    lamps: Range
    """How many pools of light there are."""
    colours: tuple[Colour, ...] = ((1.0, 1.0, 1.0),)
    """The colours of the lamps, as factors of red, green and blue; one is drawn for each picture."""


def lit(light: Light, lamplight: Lamplight, strength: float, rng: Rng) -> Light:
    """The light that is left of a picture taken by day."""
    height, width = light.shape[:2]
    y, x = np.mgrid[:height, :width].astype(np.float32)
    missing = float(np.clip(strength * rng.uniform(*lamplight.missing), 0, 0.95))
    pools = np.zeros((height, width), np.float32)
    for _ in range(round(rng.uniform(*lamplight.lamps))):
        middle, wide = rng.uniform((0, 0.2), (1, 0.9)) * (width, height), rng.uniform(0.1, 0.3) * width
        squared = ((x - middle[0]) ** 2 + 1.6 * (y - middle[1]) ** 2) / wide**2
        pools = np.maximum(pools, rng.uniform(0.35, 0.8) * np.exp(-squared).astype(np.float32))
    share = 1 - missing * (1 - pools)
    lamp = np.asarray(lamplight.colours[int(rng.integers(len(lamplight.colours)))], np.float32)
    colour = 1 + min(strength, 1.0) * (lamp - 1)
    return np.asarray(light * (share[..., None] * colour), np.float32)
