"""One natively large picture: 7680 px long, with faces of every height from 9 px to over half of its length.

As in the 8K test set of the paper's Figure 5, every bin of face heights has about as many faces. Everything that
needs numbers with a fraction is done in bands of rows or at half of the size, so that memory stays bounded.
"""

import zlib

import cv2
import numpy as np

from pipeline.config.sections import DatasetConfig
from pipeline.embedded.canvas import Colour, Sprite, paste
from pipeline.embedded.compose import Picture
from pipeline.embedded.degrade import Degraded, Image, Rng
from pipeline.embedded.distractors import draw_distractor
from pipeline.embedded.eight_k_places import LONG_SIDE_PX, people_places, thing_places
from pipeline.embedded.events import Scene
from pipeline.embedded.faces import draw_person
from pipeline.embedded.labels import Drawn, label_faces
from pipeline.embedded.looks import dressed
from pipeline.embedded.people import Person, person
from pipeline.embedded.placement import Place
from pipeline.embedded.scenes import draw_scene, octave_noise
from pipeline.embedded.sprites import DRAWN_DETAIL_PX, person_sprite
from pipeline.embedded.worlds import WORLDS, world_rng

_SCENES: tuple[Scene, ...] = ("street", "park", "tiers", "room", "gallery", "beach", "snow")
_SHAPES = ((16, 9), (16, 9), (3, 2))
_THINGS = ("ball", "poster", "clock", "portrait", "statue", "doll", "mannequin", "facade", "pumpkin")
_MOST_DRAWN_PX = 700  # half of a face's height; larger ones are drawn at this size and enlarged
_PHOTOGRAPHED_BELOW_PX = 420  # the photographed heads have no more detail than that
_CROPS_BELOW_PX = 60  # nor have the small photographs than that
_BAND_ROWS = 256


def compose_eight_k(config: DatasetConfig, split: str, number: int) -> Picture:
    """Picture `number` of a split of large pictures with its labelled faces, in daylight and by a good camera.

    Of the world in `config` it has the looks and dress. Face heights are in proportion to its long side, that of
    `config`, and at least 9 px.
    """
    rng = np.random.default_rng([config.seed, zlib.crc32(split.encode()), number])
    looks = WORLDS[config.world].looks
    dress = world_rng(config.seed, split, number, config.world)
    image = _scene(rng, config.long_side_px)
    height, width = image.shape[:2]
    owner, drawn = np.full((height, width), -1, np.int16), list[Drawn]()
    people = people_places(rng, width, height, number)
    for thing in thing_places(rng, width, height, people):
        sprite, scale = _thing(rng, thing.height_px, split)
        _paste(image, owner, sprite, scale, thing, -1, _light(rng))
    for spot in people:
        who = person(rng, covered=0.08, turned=0.4 if spot.height_px < _PHOTOGRAPHED_BELOW_PX else 0.0)
        who = who if looks is None else dressed(who, looks, 2 * config.difficulty, dress)
        below = float(np.clip((height - spot.y) / (spot.height_px / 2) + 0.5, 0.6, 14.0))
        sprite, scale, detail_px = _sprite(rng, who, split, spot.height_px, below)
        left, top = _paste(image, owner, sprite, scale, spot, len(drawn), _light(rng))
        drawn.append(_as_drawn(who, sprite, scale, (left, top), detail_px))
    seen = _photographed(image, rng)
    return Picture(seen, label_faces(drawn, owner, seen, rng))


def _scene(rng: Rng, long_side_px: int) -> Image:
    a, b = _SHAPES[int(rng.integers(len(_SHAPES)))]
    width, height = long_side_px, round(long_side_px * b / a)
    half = draw_scene(_SCENES[int(rng.integers(len(_SCENES)))], rng, height // 2, width // 2)
    return np.asarray(cv2.resize(half, (width, height), interpolation=cv2.INTER_CUBIC))


def _light(rng: Rng) -> Colour:
    r, g, b = np.clip(1 + 0.12 * rng.normal(-0.15, 0.6), 0.5, 1.3) * (1 + 0.015 * rng.standard_normal(3))
    return float(r), float(g), float(b)


def _thing(rng: Rng, height_px: float, split: str) -> tuple[Sprite, float]:
    """A thing as a sprite, and the factor by which to enlarge it."""
    kind, unit = _THINGS[int(rng.integers(len(_THINGS)))], max(20.0, height_px / 2)
    render = min(unit, _MOST_DRAWN_PX / 2)
    return draw_distractor(kind, rng, render, split), height_px / 2 / render


def _sprite(rng: Rng, who: Person, split: str, height_px: float, below: float) -> tuple[Sprite, float, float]:
    """A person as a sprite, the factor by which to enlarge it, and the pixels of detail that its face has."""
    if height_px < _PHOTOGRAPHED_BELOW_PX:
        sprite, detail_px = person_sprite(rng, who, split, height_px, below, _CROPS_BELOW_PX)
        return sprite, 1.0, detail_px
    render = min(height_px / 2, _MOST_DRAWN_PX)
    return draw_person(who, render, below), height_px / 2 / render, DRAWN_DETAIL_PX


def _paste(
    image: Image, owner: np.ndarray, sprite: Sprite, scale: float, at: Place, number: int, light: Colour
) -> tuple[int, int]:
    """Paste a sprite enlarged, of which only what the picture shows is ever enlarged."""
    height, width = owner.shape
    rows, columns = sprite.face.shape
    x, y = sprite.anchor
    left = int(np.clip(np.floor(x - at.x / scale) - 2, 0, columns - 1))
    top = int(np.clip(np.floor(y - at.y / scale) - 2, 0, rows - 1))
    right = int(np.clip(np.ceil(x + (width - at.x) / scale) + 2, left + 1, columns))
    bottom = int(np.clip(np.ceil(y + (height - at.y) / scale) + 2, top + 1, rows))
    shown = sprite.cropped(left, top, right, bottom)
    if scale != 1.0:
        shown = shown.resized(scale)
    moved = paste(image, owner, shown, (at.x, at.y), number, light)
    return moved[0] - round(left * scale), moved[1] - round(top * scale)


def _as_drawn(who: Person, sprite: Sprite, scale: float, at: tuple[int, int], detail_px: float) -> Drawn:
    is_odd = abs(who.yaw) > 0.85 or abs(who.roll) > 0.6 or abs(who.pitch) > 0.5
    outline = sprite.outline * scale + np.array(at)
    is_wide_open = who.open_mouth > 0.6 and not (who.mask or who.scarf)
    return Drawn(outline, sprite.face_area_px * scale**2, 0.0, detail_px, is_wide_open, is_odd)


def _photographed(image: Image, rng: Rng) -> Degraded:
    """The picture as a good camera takes it: a little unsharp, unevenly lit, with little noise."""
    height, width = image.shape[:2]
    sigma = float(rng.uniform(0.5, 1.2)) * width / LONG_SIDE_PX
    seen = cv2.GaussianBlur(image, (0, 0), sigma) if sigma > 0.25 else image
    uneven = 1 + 0.1 * octave_noise(rng, height // 40 + 1, width // 40 + 1, 2, 2)
    colour = np.asarray(rng.uniform(0.75, 1.1) * (1 + rng.normal(0, 0.03, 3)), np.float32)
    field, noise = (uneven[..., None] * colour).astype(np.float32), np.float32(rng.uniform(1, 4))
    for top in range(0, height, _BAND_ROWS):
        band = seen[top : top + _BAND_ROWS]
        rows = np.linspace(top, top + len(band), len(band), endpoint=False) / 40
        light = cv2.remap(
            field,
            np.repeat(np.arange(width, dtype=np.float32)[None] / 40, len(band), axis=0),
            np.repeat(rows.astype(np.float32)[:, None], width, axis=1),
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        )
        light = light * band + noise * rng.standard_normal(band.shape, np.float32)
        np.copyto(band, np.clip(light, 0, 255).astype(np.uint8))
    return Degraded(seen, sigma, int(rng.integers(80, 93)))
