"""The places where pictures are taken: streets, stages and rooms, from noise, shapes and photographs."""

from collections.abc import Callable

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from pipeline.embedded import sources
from pipeline.embedded.canvas import Colour, ellipse, fill
from pipeline.embedded.events import Scene
from pipeline.embedded.people import scaled

Image = UInt8[np.ndarray, "height width 3"]
Rng = np.random.Generator


def draw_scene(scene: Scene, rng: Rng, height: int, width: int) -> Image:
    """The place without people."""
    return _SCENES[scene](rng, height, width)


def shelf_levels(height: int, num_shelves: int) -> list[int]:
    """The y of each board in the `shelves` scene, top to bottom."""
    return [round(height * (i + 1) / (num_shelves + 0.25)) for i in range(num_shelves)]


NUM_SHELVES = 3


def octave_noise(
    rng: Rng, height: int, width: int, coarse: int = 3, octaves: int = 5
) -> Float[np.ndarray, "height width"]:
    """Smooth noise of several scales, about -1..1."""
    total = np.zeros((height, width), np.float32)
    for octave in range(octaves):
        cells = coarse * 2**octave
        grid = rng.standard_normal((cells + 1, cells + 1), np.float32) * np.float32(0.5 / 1.6**octave)
        total += cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC)
    return total


def _gradient(height: int, width: int, top: Colour, bottom: Colour) -> Float[np.ndarray, "height width 3"]:
    t = np.linspace(0, 1, height, dtype=np.float32)[:, None, None]
    rows = np.asarray(top, np.float32) * (1 - t) + np.asarray(bottom, np.float32) * t
    return np.repeat(rows, width, axis=1)


def _finish(image: Float[np.ndarray, "height width 3"]) -> Image:
    return np.asarray(np.clip(image, 0, 255), np.uint8)


def _jitter(rng: Rng, colour: Colour, spread: float = 14) -> Colour:
    r, g, b = np.clip(np.array(colour) + rng.normal(0, spread, 3), 0, 255)
    return float(r), float(g), float(b)


def _box(image: Image, x0: float, y0: float, x1: float, y1: float, colour: Colour) -> None:
    cv2.rectangle(image, (round(x0), round(y0)), (round(x1) - 1, round(y1) - 1), colour, -1)


def _texture(
    rng: Rng, height: int, width: int, tint: Colour, name: str = "gravel"
) -> Float[np.ndarray, "height width 3"]:
    grey = sources.photo(name)[..., 0]
    side = int(rng.integers(150, 500))
    y, x = rng.integers(0, 512 - side + 1, 2)
    piece = cv2.resize(
        grey[y : y + side, x : x + side], (width, height), interpolation=cv2.INTER_LINEAR
    ).astype(np.float32)
    return piece[..., None] / max(1.0, float(piece.mean())) * np.asarray(tint, np.float32)


def _sky(rng: Rng, height: int, width: int) -> Image:
    top = _jitter(rng, ((110, 150, 210), (170, 180, 190), (90, 110, 150))[int(rng.integers(3))])
    sky = _gradient(height, width, top, _jitter(rng, (215, 220, 222)))
    return _finish(sky + 14 * octave_noise(rng, height, width, 2, 4)[..., None])


def _buildings(image: Image, rng: Rng, horizon: int, lit: bool) -> None:
    height, width = image.shape[:2]
    x = float(-rng.uniform(0, 60))
    while x < width:
        wide, tall = rng.uniform(0.12, 0.3) * width, rng.uniform(0.35, 1.1) * horizon
        wall = _jitter(
            rng, ((150, 120, 100), (130, 130, 136), (178, 160, 140), (100, 84, 80))[int(rng.integers(4))]
        )
        if lit:
            wall = scaled(wall, 0.35)
        _box(image, x, horizon - tall, x + wide, horizon, wall)
        step, pane = rng.uniform(0.028, 0.06) * width, rng.uniform(0.35, 0.7)
        glass = scaled(wall, 0.6)
        for wy in np.arange(horizon - tall + step * 0.6, horizon - step * 0.8, step * 1.3):
            for wx in np.arange(x + step * 0.4, x + wide - step * pane, step):
                shine = (236, 214, 140) if lit and rng.random() < 0.35 else glass
                _box(image, wx, wy, wx + step * pane, wy + step * pane * 1.3, shine)
        x += wide
    paving = "brick" if rng.random() < 0.4 else "gravel"
    ground = _texture(rng, height - horizon, width, _jitter(rng, (112, 110, 108)), paving)
    image[horizon:] = _finish(ground * 0.5 + _gradient(height - horizon, width, (70, 68, 66), (48, 47, 46)))


def _street(rng: Rng, height: int, width: int, lit: bool = False) -> Image:
    image = _sky(rng, height, width)
    if lit:
        image = (image * 0.4).astype(np.uint8)
    _buildings(image, rng, round(height * rng.uniform(0.38, 0.6)), lit)
    return image


def _rain(rng: Rng, height: int, width: int) -> Image:
    image = _street(rng, height, width, lit=True)
    for _ in range(int(rng.integers(8, 24))):  # lamps and their reflections
        x, y, r = rng.uniform(0, width), rng.uniform(0.25, 0.95) * height, rng.uniform(0.006, 0.035) * width
        glow = _jitter(
            rng, ((250, 220, 150), (240, 90, 70), (150, 220, 200), (230, 230, 240))[int(rng.integers(4))]
        )
        cv2.circle(image, (round(x), round(y)), round(r), glow, -1, cv2.LINE_AA)
    return cv2.GaussianBlur(image, (0, 0), width / 220)


def _park(rng: Rng, height: int, width: int) -> Image:
    image = _sky(rng, height, width)
    horizon = round(height * rng.uniform(0.35, 0.55))
    grass = _texture(rng, height - horizon, width, _jitter(rng, (84, 120, 52)), "grass")
    image[horizon:] = _finish(grass)
    for _ in range(int(rng.integers(30, 110))):
        x, y = rng.uniform(0, width), horizon - rng.exponential(0.12) * height + 0.04 * height
        leaf = _jitter(rng, ((52, 84, 36), (74, 108, 44), (40, 62, 34), (120, 100, 40))[int(rng.integers(4))])
        blob = ellipse(
            (x, y), (rng.uniform(0.02, 0.09) * width, rng.uniform(0.02, 0.08) * width), rng.uniform(0, 3)
        )
        fill(image, blob, leaf)
    return _finish(image + 26 * octave_noise(rng, height, width, 24, 3)[..., None])


def _snow(rng: Rng, height: int, width: int) -> Image:
    image = _park(rng, height, width) if rng.random() < 0.5 else _street(rng, height, width)
    white = (
        octave_noise(rng, height, width, 4, 5) + np.linspace(-0.9, 1.0, height, dtype=np.float32)[:, None]
    ) > 0
    image[white] = (0.25 * image[white] + 0.75 * np.array((226, 232, 242))).astype(np.uint8)
    return cv2.GaussianBlur(image, (0, 0), 0.8)


def _stage(rng: Rng, height: int, width: int) -> Image:
    image = _finish(
        _gradient(height, width, (34, 28, 52), (16, 14, 22)) + 8 * octave_noise(rng, height, width)[..., None]
    )
    top = round(height * rng.uniform(0.3, 0.45))
    _box(image, width * 0.1, top * 0.4, width * 0.9, top, _jitter(rng, (60, 40, 90), 25))
    for _ in range(int(rng.integers(6, 16))):
        x, y = rng.uniform(0.05, 0.95) * width, rng.uniform(0.05, 0.4) * height
        cv2.circle(
            image,
            (round(x), round(y)),
            round(rng.uniform(0.004, 0.015) * width),
            (255, 244, 220),
            -1,
            cv2.LINE_AA,
        )
    return cv2.GaussianBlur(image, (0, 0), 1.2)


def _tiers(rng: Rng, height: int, width: int) -> Image:
    image = _finish(_gradient(height, width, _jitter(rng, (120, 124, 134)), _jitter(rng, (86, 88, 94))))
    step = height / int(rng.integers(9, 18))
    seat = _jitter(rng, ((150, 40, 40), (40, 70, 140), (130, 130, 130), (190, 150, 40))[int(rng.integers(4))])
    for y in np.arange(0, height, step):
        _box(image, 0, y + step * 0.72, width, y + step * 0.86, scaled(seat, 0.6))
        for x in np.arange(rng.uniform(0, step), width, step * 0.9):
            if rng.random() < 0.7:
                _box(image, x, y + step * 0.2, x + step * 0.6, y + step * 0.75, _jitter(rng, seat, 22))
    return _finish(image + 10 * octave_noise(rng, height, width, 40, 2)[..., None])


def _shelves(rng: Rng, height: int, width: int) -> Image:
    wall = _jitter(
        rng, ((200, 180, 150), (170, 190, 200), (210, 200, 210), (120, 90, 70))[int(rng.integers(4))]
    )
    image = _finish(
        _gradient(height, width, wall, scaled(wall, 0.8)) + 6 * octave_noise(rng, height, width)[..., None]
    )
    board = _jitter(rng, (130, 92, 58), 25)
    levels = shelf_levels(height, NUM_SHELVES)
    for level in levels:
        x = float(rng.uniform(-30, 20))
        while x < width:  # boxes and books between the toys
            wide, tall = rng.uniform(0.02, 0.09) * width, rng.uniform(0.03, 0.2) * height
            if rng.random() < 0.45:
                _box(image, x, level - tall, x + wide, level, _jitter(rng, (140, 120, 120), 60))
            x += wide * rng.uniform(1.0, 1.6)
        _box(image, 0, level, width, level + 0.025 * height, board)
        _box(image, 0, level + 0.025 * height, width, level + 0.04 * height, scaled(wall, 0.5))
    return image


def _gallery(rng: Rng, height: int, width: int) -> Image:
    wall = _jitter(
        rng, ((196, 186, 170), (130, 60, 56), (84, 104, 96), (222, 220, 214))[int(rng.integers(4))]
    )
    image = _finish(
        _gradient(height, width, wall, scaled(wall, 0.85)) + 5 * octave_noise(rng, height, width)[..., None]
    )
    floor = round(height * rng.uniform(0.72, 0.85))
    image[floor:] = _finish(
        _texture(rng, height - floor, width, _jitter(rng, (130, 96, 66)), "brick") * 0.4
        + np.array((80, 60, 42))
    )
    _box(image, 0, floor - 0.02 * height, width, floor, (236, 232, 224))
    return image


def _room(rng: Rng, height: int, width: int) -> Image:
    image = _gallery(rng, height, width)
    for _ in range(int(rng.integers(4, 12))):
        x, y = rng.uniform(-0.1, 0.95) * width, rng.uniform(0.05, 0.8) * height
        _box(
            image,
            x,
            y,
            x + rng.uniform(0.05, 0.25) * width,
            y + rng.uniform(0.05, 0.35) * height,
            _jitter(rng, (130, 110, 96), 45),
        )
    if rng.random() < 0.5:
        _box(image, width * 0.6, height * 0.08, width * 0.85, height * 0.45, (232, 238, 244))
        _box(image, width * 0.72, height * 0.08, width * 0.735, height * 0.45, (120, 100, 84))
    return cv2.GaussianBlur(image, (0, 0), float(rng.uniform(0.4, 2.5)) * width / 640)


def _beach(rng: Rng, height: int, width: int) -> Image:
    horizon = round(height * rng.uniform(0.35, 0.55))
    image = _finish(_gradient(height, width, _jitter(rng, (150, 170, 210)), _jitter(rng, (255, 214, 150))))
    x, y = rng.uniform(0.15, 0.85) * width, rng.uniform(0.3, 0.95) * horizon
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    distance = np.hypot(columns - np.float32(x), rows - np.float32(y)) / np.float32(width)
    glow = np.clip(0.45 * np.exp(-((distance / 0.22) ** 2)) + np.exp(-((distance / 0.05) ** 4)), 0, 1)[
        ..., None
    ]
    image = _finish(image * (1 - glow) + np.array((255, 246, 214), np.float32) * glow)
    shore = round(horizon + (height - horizon) * rng.uniform(0.3, 0.5))
    image[horizon:shore] = _finish(
        _gradient(shore - horizon, width, (206, 190, 160), (96, 130, 150))
        + 18 * octave_noise(rng, shore - horizon, width, 20, 3)[..., None]
    )
    image[shore:] = _finish(
        _texture(rng, height - shore, width, _jitter(rng, (206, 176, 130))) * 0.5 + np.array((100, 86, 64))
    )
    return image


def _objects(rng: Rng, height: int, width: int) -> Image:
    photo = sources.photo(sources.SCENERY[int(rng.integers(len(sources.SCENERY)))])
    rows, columns = photo.shape[:2]
    side_y, side_x = round(rows * rng.uniform(0.55, 1)), round(columns * rng.uniform(0.55, 1))
    y, x = int(rng.integers(0, rows - side_y + 1)), int(rng.integers(0, columns - side_x + 1))
    piece = cv2.resize(photo[y : y + side_y, x : x + side_x], (width, height), interpolation=cv2.INTER_AREA)
    if rng.random() < 0.5:
        piece = np.ascontiguousarray(piece[:, ::-1])
    return _finish(piece * rng.uniform(0.6, 1.1) * rng.uniform(0.85, 1.15, 3))


_SCENES: dict[Scene, Callable[[Rng, int, int], Image]] = {
    "street": _street,
    "stage": _stage,
    "tiers": _tiers,
    "shelves": _shelves,
    "gallery": _gallery,
    "snow": _snow,
    "rain": _rain,
    "beach": _beach,
    "room": _room,
    "park": _park,
    "objects": _objects,
}
