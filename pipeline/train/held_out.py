"""Which train images a ranker is not trained on, so that it can be judged by them."""

from collections.abc import Sequence
from pathlib import PurePosixPath

import numpy as np

_HELD_OUT = 3  # apart from the numbers that `crface.training.examples` draws with
_DIGITS = "0123456789"
_LEAST_DIGITS = 3
_LEAST_GROUPS = 10
_LARGEST_GROUP = 1 / 3


def held_out(
    rows: Sequence[int], paths: Sequence[str], share: float, seed: int
) -> tuple[list[int], list[int]]:
    """Rows to train on and rows to judge by, which the images at `paths` have; the same for the same arguments.

    Images of one sequence (see `sequences`) stay together, so that no picture is judged whose neighbour was trained on.
    None are held out for a share of 0, at least one otherwise, and at least one is left to train on.
    """
    count = 0 if share == 0 else min(max(1, round(share * len(rows))), len(rows) - 1)
    chosen: set[int] = set()
    for group in _shuffled(sequences(paths), seed):
        if len(chosen) < count and len(chosen) + len(group) < len(rows):
            chosen.update(group)
    return (
        [row for place, row in enumerate(rows) if place not in chosen],
        [row for place, row in enumerate(rows) if place in chosen],
    )


def folds(rows: Sequence[int], paths: Sequence[str], count: int, seed: int) -> list[list[int]]:
    """The rows in `count` parts of about equal size, each to be judged by a ranker trained on the others.

    Sequences stay together. A part is empty where there are fewer sequences than parts.
    """
    parts: list[list[int]] = [[] for _ in range(count)]
    for group in _shuffled(sequences(paths), seed):
        min(parts, key=len).extend(rows[place] for place in group)
    return [sorted(part) for part in parts]


def sequences(paths: Sequence[str]) -> list[list[int]]:
    """The places of images in groups that belong together, judged by their names; each alone if names tell nothing.

    Images are a sequence, as frames of a video are, if their folder and name are equal up to a number at the end that
    is filled up with zeros to one width (`street_0001.jpg`). Other numbers only count pictures, as those of WIDER FACE
    do. So do these where they make fewer than 10 groups, or one of more than a third of the images: a camera's.
    """
    groups: dict[str, list[int]] = {}
    for place, path in enumerate(paths):
        name = str(PurePosixPath(path).with_suffix(""))
        groups.setdefault(f"{name.rstrip(_DIGITS)}{len(name)}", []).append(place)
    together = [group for group in groups.values() if any(_is_filled_up(paths[place]) for place in group)]
    alone = [[place] for place in sorted(set(range(len(paths))).difference(*together))]
    found = [*together, *alone]
    if len(found) < _LEAST_GROUPS or max(map(len, found)) > _LARGEST_GROUP * len(paths):
        return [[place] for place in range(len(paths))]
    return found


def _is_filled_up(path: str) -> bool:
    name = PurePosixPath(path).stem
    number = name[len(name.rstrip(_DIGITS)) :]
    return len(number) >= _LEAST_DIGITS and number.startswith("0")


def _shuffled(groups: list[list[int]], seed: int) -> list[list[int]]:
    order = np.random.default_rng([seed, _HELD_OUT]).permutation(len(groups))
    return [groups[place] for place in order]
