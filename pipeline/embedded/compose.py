"""The composition of one picture of the data set: a pure function of seed, split, number, size and difficulty."""

import zlib
from dataclasses import dataclass, replace

import numpy as np

from pipeline.config.sections import DatasetConfig
from pipeline.dataset.splits import LARGE_SPLIT
from pipeline.embedded.air import draw_haze, snowed
from pipeline.embedded.camera import Camera, taken
from pipeline.embedded.canvas import Colour, Points, Sprite, paste
from pipeline.embedded.degrade import Degraded, degrade
from pipeline.embedded.distractors import draw_distractor
from pipeline.embedded.events import Event, event_at
from pipeline.embedded.labels import Drawn, Face, label_faces, with_faults
from pipeline.embedded.lamplight import lit
from pipeline.embedded.looks import dressed
from pipeline.embedded.people import person
from pipeline.embedded.placement import Place, places
from pipeline.embedded.scenes import NUM_SHELVES, draw_scene, shelf_levels
from pipeline.embedded.sprites import drawing_scale, person_sprite
from pipeline.embedded.worlds import WORLDS, world_rng

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
        self.world = WORLDS[config.world]
        self.world_rng = world_rng(config.seed, split, number, config.world)
        self.haze = draw_haze(self.world.air, self.strength, self.world_rng) if self.world.air else None
        if self.haze is not None:
            self.image = self.haze.over(self.image)
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
        degraded = self._seen(degrade(self.image, event, self.strength, rng))
        faces = label_faces(self.drawn, self.owner, degraded, rng)
        # the split of large faces is the controlled one: its labels have no faults
        if self.split != LARGE_SPLIT:
            faces = with_faults(faces, self.number, self.width, self.height, rng)
        return Picture(degraded, faces)

    def _seen(self, degraded: Degraded) -> Degraded:
        """The picture in the light, through the air and by the camera of its world."""
        world, rng = self.world, self.world_rng
        if world.lamplight is None and world.air is None and world.camera is None:
            return degraded
        light = degraded.image.astype(np.float32)
        if world.lamplight is not None:
            light = lit(light, world.lamplight, self.strength, rng)
        if world.air is not None:
            light = snowed(light, world.air, self.strength, rng)
        return taken(light, degraded, world.camera or Camera(), self.strength, rng)

    def _paste(
        self, sprite: Sprite, at: tuple[float, float], number: int, light: Colour, tall: float
    ) -> tuple[int, int]:
        """Paste what is as tall as a face of `tall` pixels, seen through the haze."""
        veil = self.haze.veil(tall / self.size) if self.haze is not None else None
        return paste(self.image, self.owner, sprite, at, number, light, veil)

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
            unit, shrink = drawing_scale(tall / 2)
            sprite = draw_distractor(kind, rng, unit, self.split).resized(shrink)
            sprite = sprite.blurred(self.strength * rng.uniform(0, 0.5) * self.size)
            self._paste(sprite, (x, y), -1, self._light(), tall)

    def _draw_in_front(self, spots: list[Place]) -> None:
        """Draw objects in front of people, about as large as the people nearby."""
        rng, event = self.rng, self.event
        for _ in range(round(rng.uniform(*event.num_in_front) * self.strength) if spots else 0):
            kind = event.in_front[int(rng.integers(len(event.in_front)))]
            near = spots[int(rng.integers(len(spots)))]
            tall = near.height_px * rng.uniform(0.9, 1.5)
            unit, shrink = drawing_scale(tall / 2)
            sprite = draw_distractor(kind, rng, unit, self.split).resized(shrink)
            x, y = near.x + rng.normal(0, 0.9) * tall, near.y + rng.normal(-0.2, 0.7) * tall
            self._paste(sprite, (float(x), float(y)), -1, self._light(), tall)

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
        if self.world.looks is not None:
            who = dressed(who, self.world.looks, self.strength, self.world_rng)
        below = float(
            np.clip(
                (self.height - spot.y) / (spot.height_px / 2) + 0.5,
                0.6,
                14.0 if event.arrangement == "ground" else 5.0,
            )
        )
        sprite, detail_px = person_sprite(rng, who, self.split, spot.height_px, below, 75 * self.size)
        defocus = 0.35 * abs(np.log(spot.height_px / focus_px)) * rng.random() * self.strength * self.size
        light = self._light()
        if event.backlight:
            shade = 1 - event.backlight * rng.uniform(0.6, 1.1) * min(self.strength, 1.25)
            light = (light[0] * shade, light[1] * shade, light[2] * shade)
        sprite = sprite.blurred(defocus)
        left, top = self._paste(sprite, (spot.x, spot.y), len(self.drawn), light, spot.height_px)
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
