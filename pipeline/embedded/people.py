"""The random traits of the people drawn, and those of dolls, statues and painted sitters."""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from pipeline.embedded.canvas import Colour

Hair = Literal["bald", "short", "fringe", "long", "bun", "cloth", "curls"]
Hat = Literal["none", "beanie", "cap", "brim", "helmet", "hood", "hard hat", "full helmet"]
MaskKind = Literal["medical", "cloth", "respirator", "bandana"]
Eyes = Literal["human", "blank", "buttons", "none"]

_SKIN = (
    (246, 214, 190),
    (234, 192, 160),
    (217, 165, 128),
    (186, 128, 92),
    (140, 90, 62),
    (92, 58, 42),
    (64, 42, 32),
)
_HAIR = (
    (22, 18, 16),
    (45, 30, 22),
    (84, 54, 32),
    (130, 88, 48),
    (190, 150, 90),
    (150, 60, 30),
    (170, 170, 170),
    (225, 222, 215),
)
_CLOTH = (
    (30, 34, 48),
    (200, 40, 44),
    (240, 240, 236),
    (36, 80, 150),
    (60, 110, 60),
    (235, 190, 50),
    (90, 90, 94),
    (150, 60, 120),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """The traits that decide a drawn head and body; angles in radians, lengths in face units, colours 0..255."""

    skin: Colour
    hair: Colour
    clothes: Colour
    hair_style: Hair = "short"
    eyes: Eyes = "human"
    yaw: float = 0.0
    pitch: float = 0.0
    roll: float = 0.0
    jaw: float = 0.5
    eye_gap: float = 0.33
    eye_size: float = 1.0
    mouth: float = 0.3
    """Half of the mouth's width."""
    open_mouth: float = 0.0
    """How wide the mouth is open: 0 closed, 1 shouting."""
    smile: float = 0.2
    has_mouth: bool = True
    has_brows: bool = True
    beard: float = 0.0
    """Opacity of the beard."""
    glasses: bool = False
    sunglasses: bool = False
    mask: bool = False
    """Whether the person wears a mask."""
    mask_kind: MaskKind = "medical"
    mask_cloth: Colour = (30, 30, 34)
    """The colour of a mask of cloth or a bandana."""
    scarf: bool = False
    hat: Hat = "none"
    shell: Colour = (236, 236, 232)
    """The colour of a hard hat or a full helmet."""
    hand: bool = False
    """Whether there is a hand in front of the face."""
    facing_away: bool = False
    scrambled: bool = False
    """Whether eyes, nose and mouth are in the wrong places."""
    light_from: tuple[float, float] = (-0.5, -0.5)
    contrast: float = 0.4
    """How much darker the side away from the light is."""
    gloss: float = 0.0


def person(rng: np.random.Generator, covered: float, turned: float) -> Person:
    """A random human; `covered` is the chance of a covered face, `turned` widens the range of poses."""
    skin = shade_of(rng, _SKIN, 10)
    hair_style = rng.choice(
        ["bald", "short", "fringe", "long", "bun", "cloth"], p=[0.08, 0.34, 0.2, 0.26, 0.07, 0.05]
    )
    hair = shade_of(rng, _CLOTH if hair_style == "cloth" else _HAIR, 12)
    is_bearded = hair_style in ("bald", "short") and rng.random() < 0.3
    hats = rng.choice(["none", "beanie", "cap", "brim"], p=[0.82, 0.06, 0.08, 0.04])
    is_covered, cover = (
        rng.random() < covered,
        rng.choice(["mask", "scarf", "sunglasses", "hand", "helmet"], p=[0.3, 0.2, 0.25, 0.15, 0.1]),
    )
    return Person(
        skin=skin,
        hair=hair,
        clothes=shade_of(rng, _CLOTH, 25),
        hair_style=hair_style,
        yaw=float(np.clip(rng.normal(0, 0.3 + 0.4 * turned), -1.45, 1.45)),
        pitch=float(np.clip(rng.normal(0.05, 0.12 + 0.15 * turned), -0.6, 0.7)),
        roll=float(np.clip(rng.normal(0, 0.1 + 0.2 * turned), -1.2, 1.2)),
        jaw=float(rng.uniform(0.36, 0.64)),
        eye_gap=float(rng.uniform(0.29, 0.37)),
        eye_size=float(rng.uniform(0.8, 1.15)),
        mouth=float(rng.uniform(0.22, 0.34)),
        open_mouth=float(rng.uniform(0.3, 1)) if rng.random() < 0.15 else 0.0,
        smile=float(rng.normal(0.3, 0.4)),
        beard=float(rng.uniform(0.4, 0.95)) if is_bearded else 0.0,
        glasses=bool(rng.random() < 0.16),
        hat="helmet" if is_covered and cover == "helmet" else hats,
        mask=is_covered and cover == "mask",
        scarf=is_covered and cover == "scarf",
        sunglasses=is_covered and cover == "sunglasses",
        hand=is_covered and cover == "hand",
        light_from=(float(rng.uniform(-1, 1)), float(rng.uniform(-1, 0.3))),
        contrast=float(rng.uniform(0.15, 0.7)),
    )


def doll(rng: np.random.Generator) -> Person:
    """A random doll or mannequin: nearly a person, with plastic skin, wrong eyes, or no features."""
    base = person(rng, 0.0, 0.2)
    kind = rng.choice(["doll", "mannequin", "buttons", "upside_down"], p=[0.45, 0.2, 0.2, 0.15])
    plastic = replace(base, gloss=1.0, contrast=0.15, beard=0.0, hat="none", glasses=False)
    if kind == "mannequin":
        return replace(
            plastic,
            eyes=rng.choice(["none", "blank"]),
            has_mouth=bool(rng.random() < 0.5),
            has_brows=False,
            hair_style="bald",
        )
    if kind == "buttons":
        return replace(
            plastic,
            eyes="buttons",
            skin=shade_of(rng, (*_SKIN[:3], (235, 220, 180), (200, 160, 110)), 8),
            eye_size=1.2,
        )
    if kind == "upside_down":
        return replace(plastic, roll=float(np.pi + rng.normal(0, 0.3)), eye_size=1.4)
    return replace(
        plastic,
        eye_size=float(rng.uniform(1.3, 1.8)),
        jaw=0.62,
        mouth=0.16,
        has_brows=bool(rng.random() < 0.5),
    )


def statue(rng: np.random.Generator) -> Person:
    """A random stone or bronze head with blank eyes."""
    stone = shade_of(
        rng, ((200, 198, 190), (150, 150, 150), (225, 222, 214), (110, 100, 80), (96, 112, 98)), 10
    )
    look = person(rng, 0.0, 0.3)
    style = rng.choice(["bald", "short", "fringe"])
    return replace(
        look,
        skin=stone,
        hair=scaled(stone, 0.85),
        clothes=scaled(stone, 0.92),
        hair_style=style,
        eyes="blank",
        hat="none",
        glasses=False,
        contrast=0.8,
        beard=look.beard * 0.6,
    )


def painted(rng: np.random.Generator) -> Person:
    """A random sitter of a framed portrait: a person, sometimes in the manner of Picasso."""
    return replace(person(rng, 0.0, 0.4), scrambled=bool(rng.random() < 0.25))


def pumpkin(rng: np.random.Generator) -> Colour:
    """A random pumpkin orange."""
    return shade_of(rng, ((230, 120, 30), (240, 150, 50), (200, 90, 24)), 12)


def shade_of(rng: np.random.Generator, palette: tuple[Colour, ...], spread: float) -> Colour:
    """A random colour of a palette, varied slightly in lightness and hue."""
    base = np.array(palette[int(rng.integers(len(palette)))]) * rng.uniform(0.88, 1.1) + rng.normal(
        0, spread / 3, 3
    )
    r, g, b = np.clip(base, 0, 255)
    return float(r), float(g), float(b)


def scaled(colour: Colour, factor: float) -> Colour:
    """A colour made darker (factor below 1) or lighter."""
    r, g, b = (min(255.0, max(0.0, c * factor)) for c in colour)
    return r, g, b


def mixed(a: Colour, b: Colour, share: float) -> Colour:
    """A colour between `a` (share 0) and `b` (share 1)."""
    r, g, bl = (x * (1 - share) + y * share for x, y in zip(a, b, strict=True))
    return r, g, bl
