"""What people look like and wear in worlds other than the default one: skin, hair, beards, masks, helmets."""

from dataclasses import dataclass, replace

import numpy as np

from pipeline.embedded.canvas import Colour
from pipeline.embedded.people import Hair, Hat, MaskKind, Person, shade_of

Rng = np.random.Generator


@dataclass(frozen=True, slots=True, kw_only=True)
class Looks:
    """How people differ from those of the default world; an empty palette or list leaves them as they are."""

    skins: tuple[Colour, ...] = ()
    hairs: tuple[Colour, ...] = ()
    hair_styles: tuple[Hair, ...] = ()
    bearded: float = 0.0
    """The chance of a full beard, for those without long hair or a scarf."""
    masked: float = 0.0
    """The chance of a mask at difficulty 0.5."""
    masks: tuple[MaskKind, ...] = ("medical",)
    helmeted: float = 0.0
    """The chance of something on the head at difficulty 0.5."""
    hats: tuple[Hat, ...] = ("helmet",)


_CLOTH: tuple[Colour, ...] = ((24, 24, 28), (230, 230, 226), (40, 60, 120), (150, 30, 40), (70, 90, 60))
_SHELLS: tuple[Colour, ...] = ((240, 200, 40), (236, 236, 232), (230, 110, 30), (30, 32, 36), (40, 80, 160))


def dressed(who: Person, looks: Looks, strength: float, rng: Rng) -> Person:
    """The same person, in the same pose, with the looks of a world."""
    if looks.skins:
        who = replace(who, skin=shade_of(rng, looks.skins, 10))
    if looks.hairs:
        who = replace(who, hair=shade_of(rng, looks.hairs, 14))
    if looks.hair_styles:
        who = replace(who, hair_style=looks.hair_styles[int(rng.integers(len(looks.hair_styles)))])
    if rng.random() < looks.bearded and who.hair_style in ("bald", "short", "curls"):
        who = replace(who, beard=float(rng.uniform(0.8, 1.0)))
    if rng.random() < strength * looks.masked:
        kind = looks.masks[int(rng.integers(len(looks.masks)))]
        # nobody hides the face twice: with a mask, hand, scarf and dark glasses would leave nothing to label
        who = replace(who, mask=True, mask_kind=kind, mask_cloth=shade_of(rng, _CLOTH, 20))
        who = replace(who, hand=False, scarf=False, sunglasses=False)
    if rng.random() < strength * looks.helmeted:
        hat = looks.hats[int(rng.integers(len(looks.hats)))]
        who = replace(who, hat=hat, shell=shade_of(rng, _SHELLS, 14))
    return who
