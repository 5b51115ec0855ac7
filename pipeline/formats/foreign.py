"""What a detector that ran elsewhere left behind: boxes by image, and what in its files cannot be read."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from jaxtyping import Float32, Float64


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class ForeignResults:
    """The boxes of the images that the results speak of; of some the data set may know nothing."""

    source: Path
    boxes: Mapping[str, Float32[np.ndarray, "_ 5"]]
    """By name as the results have it (with or without the ending): rows `x1 y1 x2 y2 confidence`, best first."""
    bad: tuple[str, ...]
    """Where and why something cannot be read; what is read is no good unless this is empty."""
    unknown: tuple[str, ...] = ()
    """Results that are of no image of the data set, if the reader knows; they are not in `boxes`."""
    can_name_empty: bool
    """Whether the format can say that an image has no detection; COCO's cannot."""


def candidate_rows(boxes_xywh: Float64[np.ndarray, "n 5"]) -> Float32[np.ndarray, "n 5"]:
    """Turn rows `x y w h score` into candidates, best first; equal scores keep their order."""
    rows = boxes_xywh[np.argsort(-boxes_xywh[:, 4], kind="stable")]
    return np.concatenate([rows[:, :2], rows[:, :2] + rows[:, 2:4], rows[:, 4:]], axis=1).astype(np.float32)


def complaint(values: Float64[np.ndarray, "5"]) -> str:
    """Say why one row `x y w h score` cannot be a detection; empty if it can."""
    if not np.isfinite(values).all():
        return "a number that is not finite"
    if (values[2:4] < 0).any():
        return "a negative width or height; x y w h is wanted, not a centre or two corners"
    if not 0 <= values[4] <= 1:
        return f"a score of {values[4]:g}; confidences are 0 to 1"
    return ""


def without_ending(name: str) -> str:
    """Drop the last ending of an image's name: `event/a.b.jpg` becomes `event/a.b`."""
    return PurePosixPath(name).with_suffix("").as_posix()
