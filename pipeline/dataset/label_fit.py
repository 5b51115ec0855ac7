"""Labels that cannot be: boxes beyond their image, and what they probably are instead."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Bool, Float, Int

from pipeline.dataset.index_file import ImageRow

TOLERANCE_PX: Final = 2.0
"""A box may end so far beyond its image; in WIDER FACE's val split none ends more than one pixel beyond."""

_MOST = 0.95  # of the boxes must fit for a guess at what they are
_MIN_BOXES = 3  # fewer fit anything
_SMALL_SHARE = 0.05


@dataclass(frozen=True, slots=True, eq=False)
class LabelledSize:
    """The labels of one image."""

    name: str
    faces: Float[np.ndarray, "face 4"]
    """x1 y1 x2 y2 in pixels."""
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class LabelFit:
    """How the labels of a data set fit its images."""

    num_boxes: int
    """Boxes of positive width and height."""
    num_beyond: int
    """Boxes that end more than TOLERANCE_PX beyond their image."""
    num_outside: int
    """Boxes whose centre is not in their image: no part of a face that is cut off by the image's edge."""
    example: str
    """One of the worst, in words; empty if none ends beyond."""
    guess: str
    """What the boxes probably are, in words; empty if they may well be right, or nothing explains them."""

    @property
    def is_wrong(self) -> bool:
        """Whether the labels cannot be right: faces at an edge may be labelled as far as they would reach."""
        return bool(self.guess or self.num_outside)

    @property
    def sentence(self) -> str:
        """What is wrong or odd, for people; empty for nothing."""
        if not self.num_beyond and not self.guess:
            return ""
        what = f"{self.num_beyond} of {self.num_boxes} boxes end beyond their image"
        if self.num_outside:
            what += f", {self.num_outside} lie outside of it"
        return (
            what
            + (f", such as {self.example}" if self.example else "")
            + (f": {self.guess}" if self.guess else "")
        )


def index_fit(rows: Iterable[ImageRow]) -> LabelFit:
    """How the valid labels of an index's readable images fit; one fit without boxes for none."""
    readable = [row for row in rows if row.status == "ok"]
    # one array for all: an array for each image takes ten times as long
    is_valid = np.concatenate([np.zeros(0, np.bool_), *(row.is_valid for row in readable)])
    boxes = np.concatenate([np.zeros((0, 4), np.float32), *(row.faces for row in readable)])
    return _fit(
        [row.path for row in readable],
        [(row.width, row.height) for row in readable],
        boxes[is_valid].astype(np.float64),
        _places([len(row.faces) for row in readable])[is_valid],
    )


def label_fit(images: Sequence[LabelledSize]) -> LabelFit:
    """How labels fit their images, and what they probably are where they do not."""
    boxes = np.concatenate([np.zeros((0, 4)), *(image.faces for image in images)])
    return _fit(
        [image.name for image in images],
        [(image.width, image.height) for image in images],
        boxes,
        _places([len(image.faces) for image in images]),
    )


def _places(counts: Sequence[int]) -> Int[np.ndarray, " box"]:
    """The place of each box's image, where images have so many boxes."""
    return np.repeat(np.arange(len(counts)), np.array(counts, np.int64))


def _fit(
    image_names: Sequence[str],
    image_sizes: Sequence[tuple[int, int]],
    boxes: Float[np.ndarray, "box 4"],
    names: Int[np.ndarray, " box"],
) -> LabelFit:
    """How the boxes of all images fit; `names` are the places of their images in `image_names`."""
    has_area = (boxes[:, 2:] > boxes[:, :2]).all(axis=1)
    boxes, names = boxes[has_area], names[has_area]
    sizes = np.array(image_sizes, np.int64).reshape(-1, 2)[names]
    beyond = _beyond(boxes, sizes)
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    outside = ((centres < 0) | (centres > sizes)).any(axis=1)
    example = ""
    if beyond.any():
        excess = np.maximum(boxes[:, 2:] - sizes, -boxes[:, :2]).max(axis=1)
        worst = int(excess.argmax())
        x, y, w, h = (f"{value:g}" for value in (*boxes[worst, :2], *(boxes[worst, 2:] - boxes[worst, :2])))
        width, height = sizes[worst]
        example = f"x y w h = {x} {y} {w} {h} in {image_names[names[worst]]} of {width} x {height} px"
    return LabelFit(
        num_boxes=len(boxes),
        num_beyond=int(beyond.sum()),
        num_outside=int(outside.sum()),
        example=example,
        guess=_guess(boxes, sizes, beyond, names),
    )


def _beyond(boxes: Float[np.ndarray, "box 4"], sizes: Float[np.ndarray, "box 2"]) -> Bool[np.ndarray, " box"]:
    before, behind = boxes[:, :2] < -TOLERANCE_PX, boxes[:, 2:] > sizes + TOLERANCE_PX
    return np.asarray((before | behind).any(axis=1))


def _guess(
    boxes: Float[np.ndarray, "box 4"],
    sizes: Float[np.ndarray, "box 2"],
    beyond: Bool[np.ndarray, " box"],
    names: np.ndarray,
) -> str:
    if len(boxes) < _MIN_BOXES:
        return ""
    if (boxes >= 0).all() and (boxes <= 2).all() and (sizes > 4).all():
        return "all coordinates are shares of the image; pixels are expected"
    if not beyond.any():
        return ""
    # what was written as x y w h stands here as x, y, x + w, y + h
    corners = np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1)
    are_corners = (corners[:, 2:] > corners[:, :2]).all(axis=1) & ~_beyond(corners, sizes)
    if are_corners.mean() >= _MOST:
        return "they look like corners x1 y1 x2 y2; x y width height is expected"
    in_bad_images = np.isin(names, names[beyond])
    fits_turned = ~_beyond(boxes, sizes[:, ::-1])
    is_oblong = sizes[:, 0] != sizes[:, 1]
    if fits_turned[in_bad_images].mean() >= _MOST and is_oblong[beyond].all() and _is_much(beyond):
        return (
            "they fit the images turned by a quarter: labels of photographs as their EXIF orientation shows them; "
            "pixels as they are stored are expected"
        )
    if len(set(names[beyond])) >= max(2, len(set(names)) / 2):
        return "they look like labels of images of another size; pixels of these images are expected"
    return ""


def _is_much(beyond: Bool[np.ndarray, " box"]) -> bool:
    """Whether so many boxes end beyond that a slip of the hand does not explain them."""
    return bool(beyond.sum() >= _MIN_BOXES and beyond.mean() >= _SMALL_SHARE)
