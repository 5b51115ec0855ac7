"""Things that look like faces but are none: dolls, mannequins, statues, framed portraits, and face-like objects.

A statue, a doll, a mannequin and any pictured face count as *no* face. What distinguishes them from people is partly
their surface and partly where they stand, which a network that sees the whole image can learn.
"""

from dataclasses import replace

import cv2
import numpy as np

from pipeline.embedded import people, sources
from pipeline.embedded.canvas import Sprite
from pipeline.embedded.faces import draw_person
from pipeline.embedded.objects import OBJECTS, opaque
from pipeline.embedded.people import scaled
from pipeline.embedded.photographs import lfw_on_person

Rng = np.random.Generator


def draw_distractor(kind: str, rng: Rng, unit_px: float, split: str) -> Sprite:
    """One face-like thing about two units high, without a face region; its anchor is its middle."""
    match kind:
        case "doll":
            sprite = draw_person(people.doll(rng), unit_px, below=2.4)
        case "mannequin":
            sprite = _mannequin(rng, unit_px)
        case "statue":
            sprite = _statue(rng, unit_px)
        case "portrait":
            sprite = _portrait(rng, unit_px, split)
        case _:
            sprite = OBJECTS[kind](rng, unit_px)
    return Sprite(sprite.rgba, np.zeros(sprite.face.shape, bool), np.zeros((0, 2)), 0.0, sprite.anchor)


def _mannequin(rng: Rng, unit: float) -> Sprite:
    look = replace(
        people.doll(rng),
        eyes=rng.choice(["none", "blank"]),
        has_mouth=bool(rng.random() < 0.5),
        hair_style="bald",
    )
    return draw_person(look, unit, below=float(rng.uniform(2.2, 6)))


def _statue(rng: Rng, unit: float) -> Sprite:
    look = people.statue(rng)
    sprite = draw_person(look, unit, below=2.6)
    rgba = cv2.copyMakeBorder(
        sprite.rgba, 0, round(3.5 * unit), 0, 0, cv2.BORDER_CONSTANT, value=(0, 0, 0, 0)
    )
    x, top = sprite.anchor[0], sprite.rgba.shape[0]
    cv2.rectangle(
        rgba,
        (round(x - 1.1 * unit), top),
        (round(x + 1.1 * unit), rgba.shape[0]),
        (*scaled(look.skin, 0.6), 255.0),
        -1,
    )
    return Sprite(rgba, np.zeros(rgba.shape[:2], bool), np.zeros((0, 2)), 0.0, sprite.anchor)


def _portrait(rng: Rng, unit: float, split: str) -> Sprite:
    look = people.painted(rng)
    if rng.random() < 0.4:
        crops = sources.lfw_faces(split)
        sitter = lfw_on_person(
            crops[int(rng.integers(len(crops)))], look, unit, 2.6, bool(rng.random() < 0.5)
        )
    else:
        sitter = draw_person(look, unit, below=2.6)
    half_x, half_y = 1.9 * unit, 2.25 * unit
    x, y = sitter.anchor
    top, left = max(0, round(y + 0.1 * unit - half_y)), max(0, round(x - half_x))
    cut = sitter.rgba[top : round(y + 0.1 * unit + half_y), left : round(x + half_x)]
    ground = np.asarray(
        people.shade_of(rng, ((70, 56, 40), (60, 74, 70), (110, 90, 70), (40, 40, 52)), 14), np.float32
    )
    painting = cut[..., :3] + ground * (1 - cut[..., 3:] / np.float32(255))
    sepia = painting @ np.array([[0.5, 0.45, 0.38], [0.35, 0.4, 0.36], [0.15, 0.15, 0.26]], np.float32)
    painting = np.clip(sepia + rng.normal(0, 5, (*cut.shape[:2], 1)), 0, 255).astype(np.uint8)
    edge = max(2, round(0.28 * unit))
    frame = people.shade_of(rng, ((150, 116, 50), (60, 40, 26), (30, 30, 32), (214, 206, 190)), 12)
    framed = cv2.copyMakeBorder(painting, edge, edge, edge, edge, cv2.BORDER_CONSTANT, value=frame)
    cv2.rectangle(
        framed, (edge - 1, edge - 1), (framed.shape[1] - edge, framed.shape[0] - edge), scaled(frame, 0.5), 1
    )
    return opaque(framed)
