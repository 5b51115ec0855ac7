"""The places and sizes of people and things in a natively large picture: as many faces in every bin of heights."""

from itertools import pairwise

import numpy as np

from pipeline.embedded.placement import Place, Rng

LONG_SIDE_PX = 7680
"""The long side of an 8K picture."""
BIN_EDGES = (9, 20, 40, 80, 160, 320, 640, 1280, 2560, 4130)
"""Of face heights in a picture 7680 px long: Figure 5's bins, between the lowest and the tallest face of its set."""
PER_BIN = (3, 3, 3, 3, 2, 2, 2, 1, 1)
"""How many faces a picture has in each bin; of the last two, which leave no room for each other, in turn one."""


def face_heights(rng: Rng, long_side_px: int, number: int) -> list[float]:
    """The heights of the faces of picture `number`, pixels, tallest first; at least 9 px.

    Within a bin the heights of consecutive pictures are spread evenly over the logarithm.
    """
    heights = []
    without = BIN_EDGES[-2] if number % 2 else BIN_EDGES[-3]
    for (low, high), count in zip(pairwise(BIN_EDGES), PER_BIN, strict=True):
        if low == without:
            continue
        shift = 0.93 + number * 0.618 + rng.uniform(0, 0.05)
        heights += [low * (high / low) ** ((index + shift) % 1) for index in np.arange(count) / count]
    scale = long_side_px / LONG_SIDE_PX
    return sorted((max(float(BIN_EDGES[0]), scale * height) for height in heights), reverse=True)


def people_places(rng: Rng, width: int, height: int, number: int) -> list[Place]:
    """Places at which nobody covers another's face, the smallest and farthest first."""
    taken: list[Place] = []
    for tall in face_heights(rng, width, number):
        for _ in range(200):
            low, high = 0.55 * tall, height - 0.52 * tall
            middle = rng.uniform(min(low, high), max(low, high))
            # taller people are nearer and stand lower; most heads are about the horizon
            y = 0.25 * middle + 0.75 * float(np.clip(height * rng.normal(0.44, 0.13), low, max(low, high)))
            x = rng.uniform(0.02, 0.98)
            if tall > 0.2 * width:  # beside one half of the picture, which would otherwise be empty
                x = 0.2 + 0.1 * x + (0.5 if rng.random() < 0.5 else 0.0)
            place = Place(float(x * width), float(y), tall)
            if not any(_hides(near, place) for near in taken):
                taken.append(place)
                break
    return taken[::-1]


def _hides(near: Place, far: Place) -> bool:
    """Whether a nearer person's head or body would be in front of a farther one's face."""
    unit, reach = near.height_px / 2, far.height_px / 2
    dx, dy = abs(far.x - near.x), far.y - near.y
    if dy + reach < -1.6 * unit:
        return False
    return dx < (1.3 if dy + reach < 1.4 * unit else 2.4) * unit + reach


def thing_places(rng: Rng, width: int, height: int, people: list[Place]) -> list[Place]:
    """Places of things that look like faces, of all sizes, where they hide behind nobody's face."""
    found = []
    for _ in range(10):
        tall = float(np.exp(rng.uniform(np.log(0.003), np.log(0.14)))) * width
        place = Place(float(rng.uniform(0, width)), float(rng.uniform(0.15, 0.85) * height), tall)
        if not any(_hides(one, place) for one in people if one.height_px > tall):
            found.append(place)
    return sorted(found, key=lambda place: place.height_px)
