"""The composition of one picture of the data set: a pure function of seed, split, number, size and difficulty."""

import zlib
from dataclasses import dataclass, replace

import numpy as np

from pipeline.config.sections import DatasetConfig
from pipeline.dataset.splits import LARGE_SPLIT
from pipeline.embedded import sources
from pipeline.embedded.canvas import Colour, Points, Sprite, paste
from pipeline.embedded.degrade import Degraded, degrade
from pipeline.embedded.distractors import draw_distractor
from pipeline.embedded.events import Event, event_at
from pipeline.embedded.faces import draw_person
from pipeline.embedded.labels import Drawn, Face, label_faces, with_faults
from pipeline.embedded.people import Person, person
from pipeline.embedded.photographs import lfw_on_person, photographed_head
from pipeline.embedded.placement import Place, places
from pipeline.embedded.scenes import NUM_SHELVES, draw_scene, shelf_levels

Rng = np.random.Generator


@dataclass(frozen=True, slots=True)
class Picture:
    """A finished picture with its labels."""

    degraded: Degraded
    faces: list[Face]


def compose(config: DatasetConfig, split: str, number: int) -> Picture:
    """Picture `number` of a split with its labelled faces."""
    event = event_at(split, number)
    # crc32 and not hash(), because it is the same in every process
    rng = np.random.default_rng([config.seed, zlib.crc32(split.encode()), number])
    return _Composer(config, split, number, event, rng).picture()


class _Composer:
    """The state of one picture while it is being drawn."""

    def __init__(self, config: DatasetConfig, split: str, number: int, event: Event, rng: Rng) -> None:
        self.event, self.rng, self.split, self.number = event, rng, split, number
        self.strength = 2 * config.difficulty
        long_side = config.long_side_px
        a, b = event.shapes[int(rng.integers(len(event.shapes)))]
        scale = long_side / max(a, b)
        self.width, self.height = round(a * scale), round(b * scale)
        self.size = long_side / 640
        self.scene = event.scenes[int(rng.integers(len(event.scenes)))]
        self.image = draw_scene(self.scene, rng, self.height, self.width)
        self.owner = np.full((self.height, self.width), -1, np.int16)
        self.drawn: list[Drawn] = []

    def picture(self) -> Picture:
        rng, event = self.rng, self.event
        self._draw_distractors()
        low, high = (max(6.0, h * self.size) for h in event.height_px)
        num_people = int(np.exp(rng.uniform(*np.log(event.faces))))
        num_away = int(rng.poisson(event.away * max(num_people, 1)) if event.away else 0)
        spots = places(
            event.arrangement, rng, self.width, self.height, (low, high), num_people + num_away, self.strength
        )
        is_away = np.arange(len(spots)) < num_away
        rng.shuffle(is_away)
        focus_px = float(np.exp(rng.uniform(np.log(low), np.log(high))))
        for spot, away in zip(spots, is_away, strict=True):
            self._draw_one(spot, bool(away), focus_px)
        self._draw_in_front(spots)
        degraded = degrade(self.image, event, self.strength, rng)
        faces = label_faces(self.drawn, self.owner, degraded, rng)
        # the split of large faces is the controlled one: its labels have no faults
        if self.split != LARGE_SPLIT:
            faces = with_faults(faces, self.number, self.width, self.height, rng)
        return Picture(degraded, faces)

    def _draw_distractors(self) -> None:
        rng, event = self.rng, self.event
        wanted = rng.uniform(*event.num_distractors) * min(1.4, 0.3 + 0.7 * self.strength)
        low, high = (max(6.0, h * self.size) for h in event.height_px)
        levels = shelf_levels(self.height, NUM_SHELVES)
        x = rng.uniform(0, 0.1) * self.width
        taken: list[tuple[float, float, float]] = []
        for _ in range(round(wanted)):
            kind = event.distractors[int(rng.integers(len(event.distractors)))]
            tall = float(
                np.clip(np.exp(rng.uniform(np.log(low), np.log(high))), 8, 0.3 * min(self.width, self.height))
            )
            if self.scene == "shelves":
                tall = min(tall, 0.11 * self.height)
                level = levels[int(rng.integers(NUM_SHELVES))]
                x = rng.uniform(0.03, 0.97) * self.width
                y = level - tall * (1.2 if kind in ("doll", "mannequin") else 0.6)
            elif kind in ("portrait", "poster", "clock", "facade"):
                x, y = rng.uniform(0.05, 0.95) * self.width, rng.uniform(0.12, 0.5) * self.height
            else:
                x, y = rng.uniform(0.03, 0.97) * self.width, rng.uniform(0.25, 0.9) * self.height
            reach = tall * (1.5 if kind == "portrait" else 0.9)
            if any(abs(x - a) < 0.8 * (reach + r) and abs(y - b) < 0.8 * (reach + r) for a, b, r in taken):
                continue
            taken.append((x, y, reach))
            unit, shrink = _drawing_scale(tall / 2)
            sprite = draw_distractor(kind, rng, unit, self.split).resized(shrink)
            sprite = sprite.blurred(self.strength * rng.uniform(0, 0.5) * self.size)
            paste(self.image, self.owner, sprite, (x, y), -1, self._light())

    def _draw_in_front(self, spots: list[Place]) -> None:
        """Draw objects in front of people, about as large as the people nearby."""
        rng, event = self.rng, self.event
        for _ in range(round(rng.uniform(*event.num_in_front) * self.strength) if spots else 0):
            kind = event.in_front[int(rng.integers(len(event.in_front)))]
            near = spots[int(rng.integers(len(spots)))]
            tall = near.height_px * rng.uniform(0.9, 1.5)
            unit, shrink = _drawing_scale(tall / 2)
            sprite = draw_distractor(kind, rng, unit, self.split).resized(shrink)
            x, y = near.x + rng.normal(0, 0.9) * tall, near.y + rng.normal(-0.2, 0.7) * tall
            paste(self.image, self.owner, sprite, (float(x), float(y)), -1, self._light())

    def _light(self) -> Colour:
        base = float(np.clip(1 + self.event.spread * self.strength * self.rng.normal(-0.15, 0.6), 0.12, 1.35))
        r, g, b = base * (1 + self.event.spread * 0.12 * self.rng.standard_normal(3))
        return float(r), float(g), float(b)

    def _draw_one(self, spot: Place, away: bool, focus_px: float) -> None:
        rng, event = self.rng, self.event
        who = person(
            rng,
            float(np.clip(event.covered * self.strength, 0, 0.95)),
            event.turned * min(1.5, 0.4 + 0.6 * self.strength),
        )
        who = replace(who, facing_away=away)
        below = float(
            np.clip(
                (self.height - spot.y) / (spot.height_px / 2) + 0.5,
                0.6,
                14.0 if event.arrangement == "ground" else 5.0,
            )
        )
        sprite, detail_px = self._sprite(who, spot.height_px, below)
        defocus = 0.35 * abs(np.log(spot.height_px / focus_px)) * rng.random() * self.strength * self.size
        light = self._light()
        if event.backlight:
            shade = 1 - event.backlight * rng.uniform(0.6, 1.1) * min(self.strength, 1.25)
            light = (light[0] * shade, light[1] * shade, light[2] * shade)
        sprite = sprite.blurred(defocus)
        left, top = paste(self.image, self.owner, sprite, (spot.x, spot.y), len(self.drawn), light)
        if not away:
            is_odd = abs(who.yaw) > 0.85 or abs(who.roll) > 0.6 or abs(who.pitch) > 0.5
            outline: Points = sprite.outline + np.array([left, top])
            self.drawn.append(
                Drawn(
                    outline,
                    sprite.face_area_px,
                    defocus,
                    detail_px,
                    who.open_mouth > 0.6 and not (who.mask or who.scarf),
                    is_odd,
                )
            )

    def _sprite(self, who: Person, height_px: float, below: float) -> tuple[Sprite, float]:
        """A person as a sprite of the wanted size, and the most pixels of detail its face can have."""
        rng, unit = self.rng, height_px / 2
        render, shrink = _drawing_scale(unit)
        chance, kind = rng.random(), ("lfw" if height_px < 75 * self.size else "photo")
        if not who.facing_away and kind == "lfw" and chance < 0.5:
            crops = sources.lfw_faces(self.split)
            crop = crops[int(rng.integers(len(crops)))]
            return lfw_on_person(crop, who, render, below, bool(rng.random() < 0.5)).resized(shrink), 30.0
        if not who.facing_away and kind == "photo" and chance < 0.22:
            body = draw_person(
                replace(who, facing_away=True, hat="none", hair_style="short", yaw=0.0), render, below
            ).resized(shrink)
            head = photographed_head(sources.head(self.split), height_px, rng, 0.5 * who.roll)
            return _on_top(head, body), 400.0
        return draw_person(who, render, below).resized(shrink), 400.0


def _drawing_scale(unit_px: float) -> tuple[float, float]:
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
