"""Where people stand in a picture and how large they are; distant ones come first, to be covered by nearer ones."""

from dataclasses import dataclass

import numpy as np

from pipeline.embedded.events import Arrangement, Range

Rng = np.random.Generator


@dataclass(frozen=True, slots=True)
class Place:
    """The middle and height of a face, in pixels."""

    x: float
    y: float
    height_px: float


def places(
    arrangement: Arrangement,
    rng: Rng,
    width: int,
    height: int,
    height_px: Range,
    number: int,
    strength: float,
) -> list[Place]:
    """Up to `number` places; fewer if people would cover each other more than `strength` allows."""
    if arrangement == "rows":
        return _rows(rng, width, height, height_px, number)
    if arrangement == "close":
        return _close(rng, width, height, height_px, number)
    return _ground(rng, width, height, height_px, number, strength)


def _ground(rng: Rng, width: int, height: int, height_px: Range, number: int, strength: float) -> list[Place]:
    """Places on level ground, where larger people stand lower in the picture."""
    low, high = height_px
    horizon, floor = rng.uniform(0.3, 0.48), rng.uniform(0.62, 0.8)
    # in crowds most people are far away; a few people are of any size
    depth = rng.beta(1.0, 1.7 if number > 8 else 1.1, size=number)
    sizes = np.sort(low * (high / low) ** depth)
    taken: list[Place] = []
    for size in sizes:
        nearness = np.sqrt((size - low) / max(high - low, 1e-6))
        for _ in range(14):
            y = height * (horizon + (floor - horizon) * nearness + rng.normal(0, 0.05))
            place = Place(
                float(rng.uniform(0.01, 0.99) * width),
                float(np.clip(y, 0.45 * size, height - 0.3 * size)),
                float(size),
            )
            hidden = sum(_covers(place, other) for other in taken)
            if hidden == 0 or (hidden <= 2 and rng.random() < 0.12 * strength):
                taken.append(place)
                break
    return taken


def _covers(near: Place, far: Place) -> bool:
    unit = near.height_px / 2
    dx, dy = abs(far.x - near.x) / unit, (far.y - near.y) / unit
    reach = far.height_px / near.height_px
    return dy > -1.3 - reach and dx < (1.1 if dy < 1.2 else 2.0) + 0.6 * reach


def _rows(rng: Rng, width: int, height: int, height_px: Range, number: int) -> list[Place]:
    """Places in rows, as in a class photograph or on a stand; higher rows are farther away."""
    low, high = height_px
    size = float(low * (high / low) ** rng.uniform(0.15, 0.85))
    pitch_x = size * rng.uniform(1.35, 2.1)
    columns = max(1, int(0.94 * width / pitch_x))
    num_rows = int(np.clip(np.ceil(number / columns), 1, max(1, height * 0.8 / (size * 1.5))))
    pitch_y = min(size * rng.uniform(1.7, 2.6), 0.78 * height / num_rows)
    top = rng.uniform(0.1, 0.18) * height + 0.4 * (0.8 * height - pitch_y * num_rows) * rng.random()
    columns = min(columns, max(1, int(np.ceil(number / num_rows))))
    left = (width - columns * pitch_x) / 2
    spots: list[Place] = []
    for row in range(num_rows):
        for column in range(columns):
            if len(spots) < number:
                x = left + (column + 0.5 + 0.5 * (row % 2)) * pitch_x + rng.normal(0, 0.12) * size
                y = top + row * pitch_y + rng.normal(0, 0.1) * size
                scale = (0.88 + 0.24 * row / num_rows) * np.exp(rng.normal(0, 0.06))
                spots.append(Place(float(x), float(y), float(max(low, size * scale))))
    return spots


def _close(rng: Rng, width: int, height: int, height_px: Range, number: int) -> list[Place]:
    """The places of one large face, or of two side by side."""
    low, high = height_px
    number = min(number, 3)
    spots = []
    for index in range(number):
        most = min(high, 0.62 * height, 0.75 * width / number)
        size = float(np.exp(rng.uniform(np.log(min(low, 0.8 * most)), np.log(most))))
        x = width * ((index + 0.5) / number + rng.normal(0, 0.06))
        spots.append(Place(float(x), float(height * rng.uniform(0.3, 0.52)), size))
    return sorted(spots, key=lambda place: place.height_px)
