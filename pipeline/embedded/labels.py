"""WIDER FACE labels of what was actually drawn: boxes, attributes, and a few faults like those of the real set."""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Int16

from pipeline.embedded.canvas import Points
from pipeline.embedded.degrade import Degraded

MIN_HEIGHT_PX = 6
"""Lower faces get no label."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """A face as it was drawn: its outline in the picture, and what decides its attributes."""

    outline: Points
    area_px: float
    defocus_px: float
    detail_px: float
    """The height in pixels of the face's source; it has no more detail than that, however large it is drawn."""
    is_exaggerated: bool
    is_atypical: bool


@dataclass(frozen=True, slots=True)
class Face:
    """One line of a WIDER FACE label file.

    blur 0 clear, 1 normal, 2 heavy; expression 0 typical, 1 exaggerated; illumination 0 normal, 1 extreme;
    invalid 0, 1; occlusion 0 none, 1 partial (10 - 50 % covered), 2 heavy; pose 0 typical, 1 atypical.
    """

    x: int
    y: int
    w: int
    h: int
    blur: int = 0
    expression: int = 0
    illumination: int = 0
    invalid: int = 0
    occlusion: int = 0
    pose: int = 0


def label_faces(
    drawn: list[Drawn],
    owner: Int16[np.ndarray, "height width"],
    degraded: Degraded,
    rng: np.random.Generator,
) -> list[Face]:
    """Labels of the visible faces.

    A face that is less than a tenth visible or lower than 6 px gets no label; one that is less than a quarter
    visible is flagged invalid. What lies outside the picture counts as covered. Like annotators, labels are
    inexact: each side is off by about 1.5 % of the box.
    """
    height, width = owner.shape
    grey = np.array([0.299, 0.587, 0.114], np.float32)
    seen = np.bincount(owner[owner >= 0].ravel(), minlength=len(drawn))
    faces = []
    for index, face in enumerate(drawn):
        visible = float(seen[index]) / max(face.area_px, 1.0)
        low, high = face.outline.min(axis=0), face.outline.max(axis=0)
        slip = rng.normal(0, 0.015, 4) * np.tile(high - low, 2)
        x0, y0 = np.clip(np.round(low + slip[:2]), 0, (width - 1, height - 1)).astype(int)
        x1, y1 = np.clip(np.round(high + slip[2:]), 1, (width, height)).astype(int)
        if visible < 0.1 or y1 - y0 < MIN_HEIGHT_PX or x1 - x0 < 3:
            continue
        luma = float((degraded.image[y0:y1, x0:x1] @ grey).mean())
        faces.append(
            Face(
                int(x0),
                int(y0),
                int(x1 - x0),
                int(y1 - y0),
                blur=_blur(float(high[1] - low[1]), face, degraded.sigma_px),
                expression=int(face.is_exaggerated),
                illumination=int(not 38 <= luma <= 222),
                invalid=int(visible < 0.25),
                occlusion=0 if visible >= 0.9 else 1 if visible >= 0.5 else 2,
                pose=int(face.is_atypical),
            )
        )
    return faces


def _blur(height_px: float, face: Drawn, sigma_px: float) -> int:
    """The grade of blur, by the distinguishable lines in a face's height: under 13 heavy, under 36 normal."""
    sigma = np.hypot(sigma_px, face.defocus_px)
    lines = min(height_px / np.sqrt(1 + (2 * sigma) ** 2), face.detail_px)
    return 2 if lines < 13 else 1 if lines < 36 else 0


def with_faults(
    faces: list[Face], number: int, width: int, height: int, rng: np.random.Generator
) -> list[Face]:
    """The labels of picture `number`, with faults that the real set has too.

    Every 89th picture has a box without width, and in every 61st one face is flagged invalid for no reason.
    """
    if number % 89 == 37:
        faces = [*faces, Face(int(rng.integers(width)), int(rng.integers(height - 4)), 0, 3, blur=2)]
    if number % 61 == 23 and faces:
        spoiled = int(rng.integers(len(faces)))
        faces[spoiled] = replace(faces[spoiled], invalid=1)
    return faces
