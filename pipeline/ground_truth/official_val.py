"""Known facts about WIDER FACE's official validation set, and the check of a ground truth against them."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from jaxtyping import Bool, Float64

from pipeline.errors import UserError

FACTS: Final[Mapping[str, int]] = {
    "images": 3226,
    "boxes": 39708,
    "boxes without area": 11,
    "easy faces": 7211,
    "medium faces": 13319,
    "hard faces": 31958,
}
"""Counted in the files of March 2017, the last change of the official ground truth. One box without area (its
width is -2) counts in hard, where it can never be found."""

_EVENTS_SHA256: Final = "d42896e2cf15c771d1af51fb1f1cb1548b0a87a5f8a0bc3be5ecf5f191315752"  # of the 61 names


def has_events_of_official_val(names: Sequence[str]) -> bool:
    """Whether `names` (`event/stem`) have exactly the 61 events of the validation set."""
    events = sorted({name.partition("/")[0] for name in names})
    return hashlib.sha256("\n".join(events).encode()).hexdigest() == _EVENTS_SHA256


def check_official_val(
    names: Sequence[str],
    faces: Sequence[Float64[np.ndarray, "_ 4"]],
    kept: Mapping[str, Sequence[Bool[np.ndarray, " _"]]],
    source: str,
) -> bool:
    """Whether this is the official validation set, with all its facts; a part of it or another set is not.

    A ground truth with as many images of the same events claims to be it. Raises UserError that names `source`
    and each fact that differs if it claims to be the official set and is not.
    """
    if len(names) != FACTS["images"] or not has_events_of_official_val(names):
        return False
    boxes = np.concatenate(list(faces))
    found = {
        "images": len(names),
        "boxes": len(boxes),
        "boxes without area": int((boxes[:, 2:] <= boxes[:, :2]).any(axis=1).sum()),
        **{f"{setting} faces": sum(int(mask.sum()) for mask in masks) for setting, masks in kept.items()},
    }
    different = [
        f"{found[fact]} {fact} instead of {known}" for fact, known in FACTS.items() if found[fact] != known
    ]
    if different:
        raise UserError(
            f"the ground truth in {source} has the images of WIDER FACE's validation set, but "
            f"{', '.join(different)}: it was changed, or is older than March 2017; get the official files again"
        )
    return True
