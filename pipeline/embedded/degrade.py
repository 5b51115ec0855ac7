"""Weather, light, blur, noise and compression for a composed picture, and the sharpness that they cost."""

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from pipeline.embedded.canvas import ellipse, fill
from pipeline.embedded.events import Event
from pipeline.embedded.scenes import octave_noise

Image = UInt8[np.ndarray, "height width 3"]
Light = Float[np.ndarray, "height width 3"]
Rng = np.random.Generator


@dataclass(frozen=True, slots=True)
class Degraded:
    """A finished picture, the Gaussian blur applied to it (sigma in pixels), and its JPEG quality."""

    image: Image
    sigma_px: float
    quality: int


def degrade(image: Image, event: Event, strength: float, rng: Rng) -> Degraded:
    """A composed picture made to look like a photograph; `strength` scales every defect: 0 none, 1 the event's own."""
    size = max(image.shape[:2]) / 640
    light = _weather(image.astype(np.float32), event, strength, rng)
    light = _exposed(light, event, strength, rng)
    sigma = strength * rng.uniform(*event.blur_px) * size
    if sigma > 0.25:
        light = cv2.GaussianBlur(light, (0, 0), sigma)
    if rng.random() < 0.1 * strength:
        light, motion = motion_blurred(light, rng, rng.uniform(0.3, 1) * (strength * 5 * size))
        sigma = float(np.hypot(sigma, motion))
    if rng.random() < 0.2 * strength:
        light, lost = _resampled(light, 1 + strength * rng.uniform(0.2, 1.2))
        sigma = float(np.hypot(sigma, lost))
    light += _noise(light, strength * rng.uniform(*event.noise), rng)
    quality = int(np.clip(rng.integers(62, 96) - 18 * strength * rng.random(), 25, 96))
    return Degraded(np.clip(light, 0, 255).astype(np.uint8), float(sigma), quality)


def encode_jpeg(degraded: Degraded) -> bytes:
    """The bytes of the picture's JPEG file."""
    bgr = cv2.cvtColor(degraded.image, cv2.COLOR_RGB2BGR)
    done, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, degraded.quality])
    assert done
    return data.tobytes()


def _weather(light: Light, event: Event, strength: float, rng: Rng) -> Light:
    height, width = light.shape[:2]
    if event.weather == "beams":
        return _beams(light, rng)
    if event.weather == "haze":
        fog = np.clip(0.25 * strength * (1 + octave_noise(rng, height, width, 2, 2)), 0, 0.6)[..., None]
        return np.asarray(light * (1 - fog) + np.array((255, 226, 180), np.float32) * fog)
    if event.weather in ("rain", "snow"):
        layer = np.zeros((height, width), np.uint8)
        size = max(height, width) / 640
        slant = float(rng.normal(0, 0.25))
        is_rain = event.weather == "rain"
        for _ in range(round(rng.uniform(60, 420) * strength)):
            x, y, near = rng.uniform(0, width), rng.uniform(0, height), rng.uniform(0.4, 1.6) * size
            if is_rain:
                end = (round(x + slant * 22 * near), round(y + 22 * near))
                cv2.line(layer, (round(x), round(y)), end, 90, 1, cv2.LINE_AA)
            else:
                flake = ellipse((x, y), (1.6 * near, 1.6 * near), 0.0, 8)
                fill(layer, flake, 210)
        cover = cv2.GaussianBlur(layer, (0, 0), 0.7)[..., None] / np.float32(255)
        return np.asarray(light * (1 - cover) + np.float32(232) * cover)
    return light


def _beams(light: Light, rng: Rng) -> Light:
    height, width = light.shape[:2]
    beams = np.zeros((height, width, 3), np.float32)
    for _ in range(int(rng.integers(2, 6))):
        x, foot, half = rng.uniform(0, width), rng.uniform(-0.2, 1.2) * width, rng.uniform(0.05, 0.22) * width
        colour = rng.uniform(0.15, 1.0, 3) * rng.uniform(25, 80)
        cone = np.array([[x - 4, 0], [x + 4, 0], [foot + half, height], [foot - half, height]])
        beam = np.zeros_like(beams)
        fill(beam, cone, tuple(colour.tolist()))
        beams += beam
    small = cv2.resize(beams, (max(8, width // 8), max(8, height // 8)), interpolation=cv2.INTER_AREA)
    soft = cv2.resize(cv2.GaussianBlur(small, (0, 0), 2.5), (width, height), interpolation=cv2.INTER_LINEAR)
    return light * (0.75 + soft / 90) + soft * 0.5


def _exposed(light: Light, event: Event, strength: float, rng: Rng) -> Light:
    height, width = light.shape[:2]
    missing = float(np.clip(strength * rng.uniform(*event.darkness), 0, 0.92))
    tint = 1 + (np.asarray(event.cast) - 1) * rng.uniform(0.4, 1.3) + rng.normal(0, 0.03, 3)
    gain = (1 - missing) * (1 + 0.25 * strength * rng.normal(0, 0.5))
    y, x = np.mgrid[:height, :width].astype(np.float32)
    vignette = 1 - 0.3 * strength * rng.random() * (((x / width - 0.5) ** 2 + (y / height - 0.5) ** 2) * 2)
    uneven = 1 + 0.12 * strength * octave_noise(rng, height, width, 2, 2)
    colour = np.asarray(np.clip(tint, 0.4, 1.6) * max(gain, 0.05), np.float32)
    return np.asarray(light * colour * (vignette * uneven)[..., None].astype(np.float32))


def motion_blurred(light: Light, rng: Rng, length_px: float) -> tuple[Light, float]:
    """The picture moved by `length_px` in a random direction, and the Gaussian blur that this is worth (sigma, px)."""
    angle = rng.uniform(0, np.pi)
    side = 2 * int(np.ceil(length_px / 2)) + 3
    kernel = np.zeros((side, side), np.float32)
    middle, reach = side / 2 - 0.5, length_px / 2 * np.array([np.cos(angle), np.sin(angle)])
    ends = np.round(np.array([middle - reach, middle + reach]) * 16).astype(int)
    cv2.line(
        kernel, (int(ends[0, 0]), int(ends[0, 1])), (int(ends[1, 0]), int(ends[1, 1])), 1.0, 1, cv2.LINE_8, 4
    )
    return cv2.filter2D(light, -1, kernel / kernel.sum()), length_px / np.sqrt(12)


def _resampled(light: Light, factor: float) -> tuple[Light, float]:
    """The picture without the detail that a sensor with fewer pixels would lose."""
    height, width = light.shape[:2]
    small = cv2.resize(
        light, (max(1, round(width / factor)), max(1, round(height / factor))), interpolation=cv2.INTER_AREA
    )
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC), 0.5 * factor


def _noise(light: Light, sigma: float, rng: Rng) -> Light:
    height, width = light.shape[:2]
    grain = rng.standard_normal((height, width, 1), np.float32) * np.float32(0.8 * sigma)
    half = (height // 2 + 1, width // 2 + 1, 3)
    speckle = cv2.resize(
        rng.standard_normal(half, np.float32), (width, height), interpolation=cv2.INTER_LINEAR
    )
    return grain + speckle * np.float32(0.7 * sigma)
