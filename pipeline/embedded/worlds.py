"""The worlds that pictures can be of: the same places, people and poses, in another light, air, camera or dress.

A detector trained in one world meets another as it would meet photographs of a user: right boxes, wrong confidences.
The shipped detectors know `default` only. What differs is drawn from a generator of the world's own, so picture n
has the same people in the same places in every world, and `default` has the same bytes as before there were others.
"""

import zlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from pipeline.config.sections import WorldName
from pipeline.embedded.air import Air
from pipeline.embedded.camera import Camera
from pipeline.embedded.lamplight import Lamplight
from pipeline.embedded.looks import Looks


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """What is different in a world; None: nothing."""

    looks: Looks | None = None
    air: Air | None = None
    lamplight: Lamplight | None = None
    camera: Camera | None = None


WORLDS: Mapping[WorldName, World] = {
    "default": World(),
    "night": World(
        lamplight=Lamplight(
            missing=(0.7, 0.88),
            lamps=(1, 5),
            colours=((1.15, 0.86, 0.5), (1.1, 0.95, 0.75), (0.75, 0.9, 1.15)),
        ),
        camera=Camera(
            brightness=(40, 75), photon_noise=0.5, read_noise=3.0, blotches=8.0, motion_px=(0, 2.5)
        ),
    ),
    "haze": World(
        air=Air(
            haze=(0.5, 1.5),
            colours=((205, 208, 212), (224, 214, 196), (186, 194, 204), (226, 190, 150)),
        ),
        camera=Camera(colour=(0.5, 0.9), contrast=(0.55, 0.9)),
    ),
    "surveillance": World(
        camera=Camera(
            motion_px=(0, 3),
            photon_noise=0.5,
            read_noise=3.0,
            colour=(0.0, 0.6),
            contrast=(1.1, 1.8),
            shrink=(1.4, 2.4),
            comb_px=2.5,
            quality=(18, 45),
        ),
    ),
    "snow": World(
        looks=Looks(helmeted=0.6, hats=("beanie", "hood", "hood")),
        air=Air(haze=(0.2, 0.7), colours=((226, 232, 240),), flakes=(300, 1500), near_flakes=(5, 45)),
        camera=Camera(colour=(0.6, 0.9), contrast=(0.8, 1.0)),
    ),
    "looks": World(
        looks=Looks(
            skins=((40, 26, 22), (26, 18, 17), (74, 48, 40), (252, 238, 230), (250, 196, 180), (120, 74, 40)),
            hairs=(
                (14, 12, 12),
                (60, 110, 205),
                (225, 70, 140),
                (90, 185, 95),
                (150, 60, 200),
                (240, 238, 232),
                (240, 130, 40),
            ),
            hair_styles=("curls", "curls", "curls", "cloth", "long", "bald", "bun", "short"),
            bearded=0.6,
        ),
    ),
    "masks": World(
        looks=Looks(
            masked=0.75,
            masks=("medical", "cloth", "cloth", "respirator", "bandana"),
            helmeted=0.45,
            hats=("hard hat", "full helmet", "helmet", "hood"),
        ),
    ),
}
"""All worlds by name; strengths are those at difficulty 0.5."""


def world_rng(seed: int, split: str, number: int, world: WorldName) -> np.random.Generator:
    """The generator of all that is different in a picture's world, apart from the one that composes the picture."""
    return np.random.default_rng([seed, zlib.crc32(split.encode()), number, zlib.crc32(world.encode())])
