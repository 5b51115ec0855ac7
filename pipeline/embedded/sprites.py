"""A person as a sprite of any size: drawn, with a photographed face, or with a whole photographed head."""

from dataclasses import replace

import numpy as np

from pipeline.embedded import sources
from pipeline.embedded.canvas import Sprite
from pipeline.embedded.faces import draw_person
from pipeline.embedded.people import Person
from pipeline.embedded.photographs import lfw_on_person, photographed_head

Rng = np.random.Generator

DRAWN_DETAIL_PX = 400.0
"""The height in pixels that a drawn or photographed face has detail for."""


def person_sprite(
    rng: Rng,
    who: Person,
    split: str,
    height_px: float,
    below: float,
    crops_below_px: float,
) -> tuple[Sprite, float]:
    """A person whose face is `height_px` high, and the most pixels of detail that the face can have.

    Half of the faces below `crops_below_px` are small photographs (LFW); of those above, a fifth are whole heads.
    """
    render, shrink = drawing_scale(height_px / 2)
    chance, kind = rng.random(), ("lfw" if height_px < crops_below_px else "photo")
    if not who.facing_away and kind == "lfw" and chance < 0.5:
        crops = sources.lfw_faces(split)
        crop = crops[int(rng.integers(len(crops)))]
        return lfw_on_person(crop, who, render, below, bool(rng.random() < 0.5)).resized(shrink), 30.0
    if not who.facing_away and kind == "photo" and chance < 0.22:
        body = draw_person(
            replace(who, facing_away=True, hat="none", hair_style="short", yaw=0.0), render, below
        ).resized(shrink)
        head = photographed_head(sources.head(split), height_px, rng, 0.5 * who.roll)
        return _on_top(head, body), DRAWN_DETAIL_PX
    return draw_person(who, render, below).resized(shrink), DRAWN_DETAIL_PX


def drawing_scale(unit_px: float) -> tuple[float, float]:
    """The size to draw at and the factor to shrink by: small things are drawn larger and shrunk."""
    if unit_px < 32:
        render = float(np.clip(unit_px * 2, 20, 48))
    else:
        render = min(unit_px * (1.25 if unit_px < 80 else 1.0), 300.0)
    return render, unit_px / render


def _on_top(head: Sprite, body: Sprite) -> Sprite:
    """A head on a body, with the middles of both faces aligned."""
    offset = np.maximum(np.array(head.anchor), np.array(body.anchor))
    right = np.maximum(
        np.array([head.rgba.shape[1], head.rgba.shape[0]]) - head.anchor,
        np.array([body.rgba.shape[1], body.rgba.shape[0]]) - body.anchor,
    )
    width, height = (int(v) for v in np.ceil(offset + right) + 2)
    rgba, face = np.zeros((height, width, 4), np.float32), np.zeros((height, width), bool)
    outline = head.outline
    for sprite in (body, head):
        x, y = (int(v) for v in np.round(offset - sprite.anchor))
        rows, columns = slice(y, y + sprite.rgba.shape[0]), slice(x, x + sprite.rgba.shape[1])
        rgba[rows, columns] = rgba[rows, columns] * (1 - sprite.rgba[..., 3:] / np.float32(255)) + sprite.rgba
        if sprite is head:
            face[rows, columns] = sprite.face
            outline = head.outline + np.array([x, y])
    return Sprite(
        np.clip(rgba, 0, 255).astype(np.uint8),
        face,
        outline,
        head.face_area_px,
        (float(offset[0]), float(offset[1])),
    )
