"""Boxes that no face can have: the mark of corners, sizes or units that were read as something else."""

from collections.abc import Mapping, Sequence
from typing import Final, Literal

import numpy as np
from jaxtyping import Float32

Fault = Literal["no area", "fractions", "far away"]
"""What is wrong with the boxes as a whole."""

_CONFIDENT: Final = 0.3
_MOST: Final = 0.5
_SOME: Final = (
    0.25  # six detectors on 21 pictures, noise among them: at most 0.03 of all, none of the confident
)
_FRACTION: Final = 2.0
_LEAST_SIDE: Final = 16
_FAR_SIDES: Final = 2


def faults(
    boxes_xyxy: Float32[np.ndarray, "n 4"], confidences: Float32[np.ndarray, " n"], height: int, width: int
) -> dict[Fault, str]:
    """What is wrong with an image's boxes as a whole, in words; empty for boxes that can be faces.

    Boxes are in pixels of an image of `height` x `width`. Those of confidence 0 are left out: networks fill up with
    them. A single bad box is no fault, for low-scored boxes of a sound network may come out inside out.
    """
    is_claimed = confidences > 0
    if not is_claimed.any():
        return {}
    # column by column: along rows of four numbers, the same takes ten times as long
    x1, y1, x2, y2 = np.ascontiguousarray(boxes_xyxy.T)
    has_no_area = (x2 <= x1) | (y2 <= y1)
    far_x, far_y = np.float32(width * _FAR_SIDES), np.float32(height * _FAR_SIDES)
    is_far = (x1 > far_x) | (y1 > far_y) | (x2 < -far_x) | (y2 < -far_y)
    found: dict[Fault, str] = {}
    for chosen, share, words in (
        (is_claimed, _MOST, ""),
        (confidences >= _CONFIDENT, _SOME, f" with confidence {_CONFIDENT} or more"),
    ):
        number = int(chosen.sum())
        if (bad := int(has_no_area[chosen].sum())) > share * number:
            found.setdefault(
                "no area", f"{bad:,} of {number:,} boxes{words} have no area (x2 <= x1 or y2 <= y1)"
            )
        if (bad := int(is_far[chosen].sum())) > _MOST * number:
            found.setdefault(
                "far away", f"{bad:,} of {number:,} boxes{words} lie wholly outside of the image, far away"
            )
    largest = np.abs(boxes_xyxy[is_claimed]).max()
    if largest <= _FRACTION and min(height, width) >= _LEAST_SIDE:
        found["fractions"] = (
            f"all {int(is_claimed.sum()):,} boxes lie in the first pixels (largest coordinate {largest:.3g})"
        )
    return found


def in_words(found: Mapping[Fault, str], remedies: Sequence[str]) -> str:
    """What is wrong and how it is mended, as one sentence."""
    return f"{', and '.join(found.values())}: {', and '.join(remedies)}"


def misread_corners(candidates: Float32[np.ndarray, "n 5"], height: int, width: int) -> str:
    """What is wrong with any detector's candidates for an image, and what it must give; empty if nothing is.

    For detectors that no descriptor describes; boxes beyond the image are theirs to give.
    """
    found = faults(candidates[:, :4], candidates[:, 4], height, width)
    found.pop("far away", None)
    return in_words(found, ["a detector gives x1 y1 x2 y2 in pixels of the image"]) if found else ""
