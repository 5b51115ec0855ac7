"""Faces from photographs as sprites: tinted LFW crops on drawn heads, and whole heads cut out."""

from dataclasses import replace

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from pipeline.embedded.canvas import Colour, Sprite, ellipse, fill
from pipeline.embedded.faces import draw_person
from pipeline.embedded.people import Person, mixed, scaled
from pipeline.embedded.sources import Head

_CROP_MIDDLE = np.array([12.0, 12.6])  # of the face in a 25 x 25 crop
_CROP_HALF_HEIGHT = 11.6  # from there to the chin, crop pixels


def lfw_on_person(
    crop: UInt8[np.ndarray, "25 25"], person: Person, unit_px: float, below: float, is_mirrored: bool
) -> Sprite:
    """A person whose face is an LFW crop, tinted with the person's skin colour.

    Yaw and pitch are set to zero, because the crop has its own; accessories in front of the face are kept.
    """
    head_on = replace(
        person,
        yaw=0.0,
        pitch=0.0,
        glasses=False,
        contrast=0.25,
        beard=0.0,
        jaw=0.55,
        has_mouth=False,
        eyes="none",
        scrambled=False,
    )
    bare = replace(head_on, sunglasses=False, mask=False, scarf=False, hat="none", hand=False)
    under = draw_person(bare, unit_px, below)
    sprite = draw_person(head_on, unit_px, below) if _wears(head_on) else under
    grey = crop[:, ::-1] if is_mirrored else crop
    turn, scale = _rotation(person.roll), unit_px / _CROP_HALF_HEIGHT
    matrix = np.hstack([turn * scale, (np.array(under.anchor) - turn @ _CROP_MIDDLE * scale)[:, None]])
    height, width = under.face.shape
    size = (width, height)
    texture = cv2.warpAffine(
        _tinted(grey, person.skin), matrix, size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
    )
    oval = np.zeros((25, 25), np.float32)
    fill(oval, ellipse((12.0, 12.4), (8.6, 11.0)), 1.0, is_smooth=False)
    soft = cv2.GaussianBlur(oval, (0, 0), 1.2)
    opacity = cv2.warpAffine(soft, matrix, size, flags=cv2.INTER_LINEAR)[..., None]
    # what is worn over the face is where the drawing with accessories differs from the one without
    if sprite is not under:
        opacity *= np.abs(sprite.rgba.astype(np.int16) - under.rgba).max(axis=2, keepdims=True) < 12
    rgba = sprite.rgba.copy()
    blended = rgba[..., :3] * (1 - opacity) + texture * opacity
    rgba[..., :3] = np.minimum(blended, rgba[..., 3:]).astype(np.uint8)
    return replace(sprite, rgba=rgba)


def photographed_head(head: Head, height_px: float, rng: np.random.Generator, roll: float) -> Sprite:
    """The photographed head cut out, its face `height_px` high, randomly mirrored and recoloured."""
    photo, outline, box = head.photo, head.outline, np.array(head.face)
    centre = np.array([(box[0] + box[2]) / 2, (box[1] + box[3]) / 2])
    scale = height_px / (box[3] - box[1])
    shrunk = photo
    before = 1.0
    while scale / before < 0.6:  # halved first, as warpAffine does not average
        shrunk = cv2.resize(shrunk, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
        before /= 2
    flip = np.diag([-1.0 if rng.random() < 0.5 else 1.0, 1.0])
    squeeze = np.diag([rng.uniform(0.86, 1.05), 1.0])
    turn = _rotation(roll) @ squeeze @ flip * scale
    moved = (outline - centre) @ turn.T
    low = moved.min(axis=0) - 3
    size = np.ceil(moved.max(axis=0) + 3 - low).astype(int)
    matrix = np.hstack([turn / before, (-(turn @ centre) - low)[:, None]])
    colour = cv2.warpAffine(
        shrunk, matrix, (int(size[0]), int(size[1])), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    cut = np.zeros((int(size[1]), int(size[0])), np.uint8)
    fill(cut, moved - low, 255)
    coverage = cv2.GaussianBlur(cut, (0, 0), max(0.6, height_px / 60))
    gain = rng.uniform(0.75, 1.2) * rng.uniform(0.92, 1.08, 3)
    curve = 255 * (np.arange(256)[:, None] / 255) ** rng.uniform(0.8, 1.3) * gain
    # the same as curve[colour[..., c], c] for each channel c
    recoloured = cv2.LUT(colour, np.clip(curve, 0, 255).astype(np.uint8)[None])
    rgba = np.dstack([(recoloured * (coverage[..., None] / 255.0)).astype(np.uint8), coverage])
    half = (box[2:] - box[:2]) / 2
    face = ellipse((0.0, 0.0), (half[0], half[1]), 0.0, 40) @ turn.T - low
    region = np.zeros_like(coverage)
    fill(region, face, 255, is_smooth=False)
    area = float(np.pi * half[0] * half[1] * abs(np.linalg.det(turn)))
    return Sprite(rgba, (region > 127) & (coverage > 127), face, area, (float(-low[0]), float(-low[1])))


def _wears(person: Person) -> bool:
    return person.mask or person.sunglasses or person.scarf or person.hand or person.hat != "none"


def _rotation(angle: float) -> Float[np.ndarray, "2 2"]:
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, -s], [s, c]])


def _tinted(grey: UInt8[np.ndarray, "25 25"], skin: Colour) -> UInt8[np.ndarray, "25 25 3"]:
    """Grey mapped to shadow, skin and highlight colours; the crop's median becomes the skin colour."""
    middle = float(np.median(grey[4:21, 5:20]))
    stops = [0.0, max(20.0, middle), max(60.0, min(255.0, middle * 1.9)), 256.0]
    colours = np.array(
        [
            scaled(skin, 0.08),
            scaled(skin, 0.95),
            mixed(scaled(skin, 1.2), (255, 250, 244), 0.45),
            (255, 250, 244),
        ]
    )
    table = np.stack([np.interp(np.arange(256), stops, colours[:, c]) for c in range(3)], axis=1)
    shades: UInt8[np.ndarray, "grey 3"] = np.round(table).astype(np.uint8)
    return np.asarray(shades[grey])
