"""Objects that resemble faces: balls, clocks, pumpkins, facades, umbrellas, cats, coins."""

from collections.abc import Callable
from dataclasses import replace

import cv2
import numpy as np
from jaxtyping import UInt8

from pipeline.embedded import people, sources
from pipeline.embedded.canvas import Canvas, Colour, Sprite, ellipse, fill
from pipeline.embedded.people import scaled

Rng = np.random.Generator


def opaque(image: UInt8[np.ndarray, "height width 3"]) -> Sprite:
    """A whole picture as a sprite, with its anchor in the middle."""
    height, width = image.shape[:2]
    rgba = np.dstack([image, np.full((height, width), 255, np.uint8)])
    return Sprite(rgba, np.zeros((height, width), bool), np.zeros((0, 2)), 0.0, (width / 2, height / 2))


def _plain(canvas: Canvas) -> Sprite:
    height, width = canvas.face.shape
    return Sprite(canvas.rgba, canvas.face > 127, np.zeros((0, 2)), 0.0, (width / 2, height / 2))


def _poster(rng: Rng, unit: float) -> Sprite:
    photo = sources.photo(sources.SCENERY[int(rng.integers(len(sources.SCENERY)))])
    return opaque(
        cv2.resize(photo, (max(4, round(2.6 * unit)), max(4, round(2 * unit))), interpolation=cv2.INTER_AREA)
    )


def _disc(unit: float, colour: Colour, squash: float = 1.0) -> tuple[Canvas, float]:
    canvas = Canvas(round(2.6 * unit), round(2.6 * unit))
    middle = 1.3 * unit
    canvas.polygon(ellipse((middle, middle), (unit * squash, unit)), colour)
    return canvas, middle


def _shaded(canvas: Canvas, unit: float) -> Sprite:
    y, x = (
        np.mgrid[: canvas.face.shape[0], : canvas.face.shape[1]].astype(np.float32) / np.float32(unit) - 1.3
    )
    canvas.shade(np.clip(1.05 - 0.35 * (x * 0.5 + y * 0.7) - 0.2 * (x * x + y * y), 0.3, 1.15), 0, 0)
    return _plain(canvas)


def _ball(rng: Rng, unit: float) -> Sprite:
    colour = people.shade_of(
        rng,
        ((230, 190, 160), (200, 150, 110), (120, 80, 60), (220, 60, 60), (236, 236, 230), (240, 200, 60)),
        16,
    )
    canvas, m = _disc(unit, colour, float(rng.uniform(0.72, 1)))
    for _ in range(int(rng.integers(0, 4))):  # spots and seams
        x, y = rng.uniform(-0.5, 0.5, 2) * unit
        canvas.polygon(
            ellipse((m + x, m + y), (rng.uniform(0.06, 0.25) * unit, rng.uniform(0.06, 0.2) * unit)),
            scaled(colour, 0.5),
        )
    return _shaded(canvas, unit)


def _clock(rng: Rng, unit: float) -> Sprite:
    canvas, m = _disc(unit, people.shade_of(rng, ((40, 36, 32), (140, 110, 60), (170, 170, 174)), 10))
    canvas.polygon(ellipse((m, m), (0.86 * unit, 0.86 * unit)), (238, 232, 218))
    for k in range(12):
        a = k * np.pi / 6
        rim = np.array([[np.cos(a), np.sin(a)]])
        canvas.line(np.concatenate([rim * 0.68, rim * 0.8]) * unit + m, (30, 28, 26), 0.06 * unit)
    for length, a in ((0.42, rng.uniform(0, 6.3)), (0.62, rng.uniform(0, 6.3))):
        canvas.line(np.array([[0, 0], [np.cos(a), np.sin(a)]]) * length * unit + m, (20, 20, 20), 0.09 * unit)
    return _plain(canvas)


def _smiley(rng: Rng, unit: float) -> Sprite:
    canvas, m = _disc(unit, people.shade_of(rng, ((250, 210, 60), (240, 170, 60), (250, 240, 220)), 8))
    for side in (-1, 1):
        canvas.polygon(
            ellipse((m + side * 0.35 * unit, m - 0.25 * unit), (0.12 * unit, 0.2 * unit)), (30, 22, 16)
        )
    t = np.linspace(0.15 * np.pi, 0.85 * np.pi, 12)
    canvas.line(np.stack([np.cos(t), np.sin(t)], 1) * 0.6 * unit + m, (40, 24, 16), 0.1 * unit)
    return _shaded(canvas, unit)


def _pumpkin(rng: Rng, unit: float) -> Sprite:
    skin = people.pumpkin(rng)
    canvas = Canvas(round(2.6 * unit), round(3.2 * unit))
    mx, my = 1.6 * unit, 1.4 * unit
    for k in (-0.75, 0.75, -0.4, 0.4, 0.0):
        canvas.polygon(
            ellipse((mx + k * unit, my), (0.55 * unit, 0.95 * unit)), scaled(skin, 1.05 - 0.25 * abs(k))
        )
    canvas.polygon(
        np.array([[-0.1, -1.3], [0.15, -1.3], [0.12, -0.8], [-0.12, -0.8]]) * unit + (mx, my), (80, 96, 40)
    )
    hole = (40, 20, 8) if rng.random() < 0.5 else (255, 226, 120)
    for side in (-1, 1):
        canvas.polygon(
            np.array([[side * 0.42, -0.45], [side * 0.68, -0.05], [side * 0.16, -0.05]]) * unit + (mx, my),
            hole,
        )
    canvas.polygon(np.array([[0, 0.0], [0.14, 0.2], [-0.14, 0.2]]) * unit + (mx, my), hole)
    teeth = [
        (-0.7, 0.3),
        (-0.35, 0.42),
        (-0.2, 0.32),
        (0.0, 0.45),
        (0.2, 0.32),
        (0.35, 0.42),
        (0.7, 0.3),
        (0.4, 0.68),
        (0, 0.76),
        (-0.4, 0.68),
    ]
    canvas.polygon(np.array(teeth) * unit + (mx, my), hole)
    return _plain(canvas)


def _facade(rng: Rng, unit: float) -> Sprite:
    canvas = Canvas(round(2.6 * unit), round(2.4 * unit))
    wall = people.shade_of(rng, ((214, 190, 160), (190, 150, 124), (224, 216, 200), (150, 110, 90)), 12)
    mx, my = 1.2 * unit, 1.3 * unit
    canvas.polygon(
        np.array([[-0.95, -0.8], [0, -1.25], [0.95, -0.8], [0.95, 1.2], [-0.95, 1.2]]) * unit + (mx, my), wall
    )
    for side in (-1, 1):
        pane = np.array([[-0.2, -0.16], [0.2, -0.16], [0.2, 0.16], [-0.2, 0.16]]) + np.array(
            [side * 0.42, -0.3]
        )
        canvas.polygon(pane * unit + (mx, my), scaled(wall, 0.25))
    wide, tall = rng.uniform(0.2, 0.5), rng.uniform(0.12, 0.5)
    canvas.polygon(
        np.array([[-wide, 0.65 - tall], [wide, 0.65 - tall], [wide, 0.75], [-wide, 0.75]]) * unit + (mx, my),
        scaled(wall, 0.3),
    )
    return _plain(canvas)


def _snowman(rng: Rng, unit: float) -> Sprite:
    canvas = Canvas(round(5.6 * unit), round(3.4 * unit))
    mx, my = 1.7 * unit, 1.5 * unit
    canvas.polygon(ellipse((mx, my + 2.3 * unit), (1.6 * unit, 1.7 * unit)), (216, 222, 232))
    canvas.polygon(ellipse((mx, my), (0.95 * unit, unit)), (234, 238, 244))
    for side in (-1, 1):
        canvas.polygon(
            ellipse((mx + side * 0.33 * unit, my - 0.2 * unit), (0.1 * unit, 0.12 * unit)), (24, 22, 22)
        )
    canvas.polygon(np.array([[-0.08, 0.05], [0.6, 0.2], [-0.05, 0.28]]) * unit + (mx, my), (236, 130, 40))
    for x in np.linspace(-0.4, 0.4, 5):
        canvas.polygon(
            ellipse((mx + x * unit, my + (0.6 - 0.5 * x * x) * unit), (0.06 * unit, 0.06 * unit)),
            (30, 28, 28),
        )
    sprite = _plain(canvas)
    return replace(sprite, anchor=(mx, my))


def _lamp(rng: Rng, unit: float) -> Sprite:
    canvas, m = _disc(
        unit, people.shade_of(rng, ((255, 236, 180), (250, 210, 160), (240, 240, 250)), 8), 0.75
    )
    canvas.polygon(ellipse((m - 0.2 * unit, m - 0.3 * unit), (0.2 * unit, 0.3 * unit)), (255, 252, 240))
    return _plain(canvas)


def _hand(rng: Rng, unit: float) -> Sprite:
    skin = people.person(rng, 0.0, 0.0).skin
    canvas = Canvas(round(5 * unit), round(2.6 * unit))
    mx, my = 1.3 * unit, 1.5 * unit
    canvas.polygon(
        np.array([[-0.3, 0.5], [0.3, 0.5], [0.5, 3.5], [-0.5, 3.5]]) * unit + (mx, my), scaled(skin, 0.8)
    )
    for k in range(5):
        a = -np.pi / 2 + (k - 2) * 0.3
        tip = np.array([np.cos(a), np.sin(a)]) * 1.1 * unit
        canvas.line(np.array([[mx, my], [mx + tip[0], my + tip[1]]]), scaled(skin, 0.95), 0.26 * unit)
    canvas.polygon(ellipse((mx, my), (0.5 * unit, 0.6 * unit)), skin)
    return replace(_plain(canvas), anchor=(mx, my))


def _placard(rng: Rng, unit: float) -> Sprite:
    canvas = Canvas(round(9 * unit), round(4 * unit))
    mx, my = 2 * unit, 1.5 * unit
    stick = np.array([[-0.08, 0], [0.08, 0], [0.08, 7.4], [-0.08, 7.4]])
    canvas.polygon(stick * unit + (mx, my), (120, 90, 60))
    card = people.shade_of(rng, ((240, 236, 226), (220, 60, 50), (60, 90, 170), (240, 210, 80)), 14)
    wide, tall = rng.uniform(0.9, 1.8), rng.uniform(0.6, 1.2)
    canvas.polygon(
        np.array([[-wide, -tall], [wide, -tall], [wide, tall], [-wide, tall]]) * unit + (mx, my), card
    )
    for y in np.linspace(-0.5, 0.5, 3) * tall:
        canvas.line(
            np.array([[-0.7 * wide, y], [rng.uniform(0, 0.7) * wide, y]]) * unit + (mx, my),
            scaled(card, 0.3),
            0.2 * unit,
        )
    return replace(_plain(canvas), anchor=(mx, my))


def _umbrella(rng: Rng, unit: float) -> Sprite:
    canvas = Canvas(round(6.4 * unit), round(6 * unit))
    mx, my = 3 * unit, 2.4 * unit
    cloth = people.shade_of(
        rng, ((30, 30, 40), (190, 40, 50), (40, 80, 140), (220, 200, 80), (90, 60, 110)), 16
    )
    canvas.polygon(
        np.array([[-0.06, -1], [0.06, -1], [0.06, 3.4], [-0.06, 3.4]]) * unit + (mx, my), (60, 56, 54)
    )
    t = np.linspace(np.pi, 2 * np.pi, 16)
    for share, light in ((1.0, 0.8), (0.45, 1.0)):
        dome = np.stack([2.6 * share * np.cos(t), 1.9 * np.sin(t)], axis=1)
        canvas.polygon(dome * unit + (mx, my), scaled(cloth, light))
    return replace(_plain(canvas), anchor=(mx, my))


def _photo_oval(photo: np.ndarray, unit: float, squash: float) -> Sprite:
    size = (max(6, round(2 * unit * squash)), max(6, round(2 * unit)))
    how = cv2.INTER_AREA if size[1] < photo.shape[0] else cv2.INTER_CUBIC
    colour = cv2.resize(photo, size, interpolation=how)
    cover = np.zeros(size[::-1], np.uint8)
    shape = ellipse((size[0] / 2, size[1] / 2), (size[0] * 0.47, size[1] * 0.47))
    fill(cover, shape, 255)
    soft = cv2.GaussianBlur(cover, (0, 0), max(0.6, unit / 20))
    rgba = np.dstack([(colour * (soft[..., None] / 255.0)).astype(np.uint8), soft])
    return Sprite(rgba, np.zeros(soft.shape, bool), np.zeros((0, 2)), 0.0, (size[0] / 2, size[1] / 2))


def _cat(rng: Rng, unit: float) -> Sprite:
    cat = sources.photo("chelsea")[10:290, 60:400]
    cat = cat[:, ::-1] if rng.random() < 0.5 else cat
    return _photo_oval(
        np.clip(cat * rng.uniform(0.7, 1.2), 0, 255).astype(np.uint8), unit, float(rng.uniform(0.9, 1.2))
    )


def _non_face(rng: Rng, unit: float) -> Sprite:
    crops = sources.lfw_non_faces()
    grey = crops[int(rng.integers(len(crops)))]
    tint = np.asarray(people.person(rng, 0.0, 0.0).skin) / 200
    return _photo_oval(np.clip((40 + grey[..., None] * 0.8) * tint, 0, 255).astype(np.uint8), unit, 0.8)


def _coin(rng: Rng, unit: float) -> Sprite:
    coins = sources.photo("coins")
    # centres in the photograph of coins that show a head or the like
    x, y = ((51, 42), (104, 44), (160, 41), (216, 40), (333, 38), (49, 188), (161, 186), (50, 260))[
        int(rng.integers(8))
    ]
    piece = coins[max(0, y - 26) : y + 26, max(0, x - 26) : x + 26]
    tint = np.asarray(people.shade_of(rng, ((190, 150, 80), (170, 170, 176), (160, 100, 70)), 8)) / 140
    return _photo_oval(np.clip(piece * tint, 0, 255).astype(np.uint8), unit, 1.0)


OBJECTS: dict[str, Callable[[Rng, float], Sprite]] = {
    "poster": _poster,
    "ball": _ball,
    "clock": _clock,
    "smiley": _smiley,
    "pumpkin": _pumpkin,
    "facade": _facade,
    "snowman": _snowman,
    "lamp": _lamp,
    "hand": _hand,
    "placard": _placard,
    "umbrella": _umbrella,
    "cat": _cat,
    "non_face": _non_face,
    "coin": _coin,
}
"""The function that draws each kind of object, about two units high, for a unit in pixels."""
