"""What a poor camera does to a picture: noise, few pixels, motion, false colours, strong compression."""

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float

from pipeline.embedded.degrade import Degraded, Image, Light, Rng, motion_blurred
from pipeline.embedded.events import Range


@dataclass(frozen=True, slots=True, kw_only=True)
class Camera:
    """One kind of camera; lengths are in pixels of a 640 px picture, strengths are those at difficulty 0.5."""

    brightness: Range = (0.0, 0.0)
    """The mean, 0..255, that the camera brightens darker pictures to, their noise included; 0: it does not."""
    max_gain: float = 8.0
    """The most that it multiplies light by."""
    photon_noise: float = 0.0
    """Variance of the noise per unit of light, before the gain."""
    read_noise: float = 0.0
    """Standard deviation of the noise where there is no light, before the gain."""
    blotches: float = 0.0
    """Standard deviation of coarse coloured noise, after the gain."""
    motion_px: Range = (0.0, 0.0)
    """How far the camera moves while the shutter is open."""
    colour: Range = (1.0, 1.0)
    """How much of the colour is left: 0 is a grey picture."""
    contrast: Range = (1.0, 1.0)
    """How steeply brightness rises about its mean; what leaves 0..255 is lost."""
    shrink: Range = (1.0, 1.0)
    """How many times fewer pixels a side the sensor has."""
    comb_px: float = 0.0
    """How far every other line is displaced, as in interlaced video."""
    quality: Range = (100.0, 100.0)
    """JPEG quality with which the camera sends its small picture; 100: it is not compressed."""


def taken(seen: Light, before: Degraded, camera: Camera, strength: float, rng: Rng) -> Degraded:
    """What the camera makes of the light it sees; `before` says how unsharp that is already.

    The effects follow one another as in a camera: shutter, sensor, amplifier, colours, compression.
    """
    height, width = seen.shape[:2]
    size, sigma = max(height, width) / 640, before.sigma_px
    if (motion := strength * rng.uniform(*camera.motion_px) * size) > 0.5:
        seen, smeared = motion_blurred(seen, rng, motion)
        sigma = float(np.hypot(sigma, smeared))
    factor = 1 + strength * (rng.uniform(*camera.shrink) - 1)
    if factor > 1:
        small = (max(8, round(width / factor)), max(8, round(height / factor)))
        seen = cv2.resize(seen, small, interpolation=cv2.INTER_AREA)
        sigma = float(np.hypot(sigma, 0.5 * factor))
    seen = _amplified(seen, camera, strength, rng)
    seen = _coloured(seen, camera, strength, rng)
    if camera.comb_px:
        seen = _combed(seen, strength * camera.comb_px * rng.uniform(-1, 1) * size / factor)
    sent = np.clip(seen, 0, 255).astype(np.uint8)
    if (quality := round(100 - strength * (100 - rng.uniform(*camera.quality)))) < 100:
        sent = _compressed(sent, quality)
    if factor > 1:
        sent = cv2.resize(sent, (width, height), interpolation=cv2.INTER_LINEAR)
    return Degraded(sent, sigma, before.quality)


def _amplified(seen: Light, camera: Camera, strength: float, rng: Rng) -> Light:
    """Brightened, with the noise of the sensor: that of the light itself, and that of reading it out."""
    spread = strength * np.sqrt(camera.photon_noise * np.maximum(seen, 0) + camera.read_noise**2)
    noisy = seen + spread * rng.standard_normal(seen.shape, np.float32)
    wanted = rng.uniform(*camera.brightness) / max(float(seen.mean()), 1.0)
    noisy *= np.float32(1 + min(strength, 1.0) * (np.clip(wanted, 1.0, camera.max_gain) - 1))
    if camera.blotches:
        height, width = seen.shape[:2]
        cells = rng.standard_normal((height // 4 + 1, width // 4 + 1, 3), np.float32)
        coarse = cv2.resize(cells, (width, height), interpolation=cv2.INTER_LINEAR)
        noisy += np.float32(strength * camera.blotches) * coarse
    return np.asarray(noisy, np.float32)


def _coloured(seen: Light, camera: Camera, strength: float, rng: Rng) -> Light:
    left = np.float32(1 + strength * (rng.uniform(*camera.colour) - 1))
    steep = np.float32(1 + strength * (rng.uniform(*camera.contrast) - 1))
    grey: Float[np.ndarray, "height width 1"] = (seen @ np.array([0.299, 0.587, 0.114], np.float32))[
        ..., None
    ]
    seen = grey + max(left, np.float32(0)) * (seen - grey)
    middle = seen.mean()
    return np.asarray(middle + steep * (seen - middle), np.float32)


def _combed(seen: Light, shift_px: float) -> Light:
    combed = seen.copy()
    combed[1::2] = np.roll(seen, round(shift_px), axis=1)[1::2]
    return combed


def _compressed(image: Image, quality: int) -> Image:
    done, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, max(5, quality)])
    assert done
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR))
