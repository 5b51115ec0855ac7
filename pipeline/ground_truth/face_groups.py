"""The groups of faces that the evaluation distinguishes: all, by height (Figure 5), and by WIDER FACE's attributes."""

from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise
from typing import Final

import numpy as np
from jaxtyping import Float64, Int8

from crface.array_shapes import FaceMask
from crface.evaluation.failure_tally import Group
from crface.evaluation.settings import HEIGHT_EDGES_PX, all_faces, by_height
from pipeline.dataset.annotations import ATTRIBUTES
from pipeline.ground_truth.truth import GroundTruth

ALL: Final = "all"
"""The setting that keeps every labelled face (Table 4)."""

HEIGHTS: Final = tuple(f"{low}-{high} px" for low, high in pairwise(HEIGHT_EDGES_PX))
"""The settings that keep the faces in one of Figure 5's bins, `low < height <= high`, smallest first."""

EVERY_FACE: Final[Group] = ("all", "all")

_VALUES: Final[Mapping[str, tuple[str, ...]]] = {
    "blur": ("clear", "normal", "heavy"),
    "expression": ("typical", "exaggerated"),
    "illumination": ("normal", "extreme"),
    "invalid": ("no", "yes"),
    "occlusion": ("none", "partial", "heavy"),
    "pose": ("typical", "atypical"),
}
"""The meaning of the values 0, 1, 2 of an attribute, from WIDER FACE's readme."""


def with_more_settings(truth: GroundTruth) -> GroundTruth:
    """The ground truth with the settings ALL and HEIGHTS, which count every labelled face, even invalid ones."""
    bins = zip(HEIGHTS, by_height(truth.faces).values(), strict=True)
    kept = {**truth.kept, **all_faces(truth.faces), **dict(bins)}
    return replace(truth, kept={setting: tuple(masks) for setting, masks in kept.items()})


def definition(truth: GroundTruth, setting: str) -> str:
    """What a setting keeps, in words: the ground truth's own definition, every face, or the faces of a bin."""
    return "every face" if setting == ALL else "face height" if setting in HEIGHTS else truth.definition


def face_groups(
    heights: Mapping[str, FaceMask], attributes: Int8[np.ndarray, "face 6"]
) -> dict[Group, FaceMask]:
    """Masks of the groups, for faces with these masks of HEIGHTS and these attributes (-1: not known)."""
    groups = {EVERY_FACE: np.ones(len(attributes), dtype=bool)}
    groups |= {("height", name): heights[name] for name in HEIGHTS}
    for column, name in enumerate(ATTRIBUTES):
        groups |= {
            (name, value): attributes[:, column] == number for number, value in enumerate(_VALUES[name])
        }
    return groups


def known_attributes(
    faces: Float64[np.ndarray, "face 4"],
    labelled: Float64[np.ndarray, "label 4"],
    attributes: Int8[np.ndarray, "label 6"],
) -> Int8[np.ndarray, "face 6"]:
    """The attributes of the ground truth's faces: those of the labels if the boxes are the same, else -1."""
    if faces.shape == labelled.shape and np.array_equal(faces, labelled):
        return attributes
    return np.full((len(faces), len(ATTRIBUTES)), -1, np.int8)
