"""A made-up data set for measuring the pipeline's own work, and stand-ins for detectors: no forward pass."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from jaxtyping import Float32, Int64, UInt8

from crface.array_shapes import ScoredBoxes
from detectors import MAX_CANDIDATES, DetectorEntry
from detectors.base import file_sha256

_FEW: Final = 100
"""Boxes up to which they are a tenth to three tenths of the picture's sides."""

STAND_IN: Final = "pipeline.bench.made_up_data:ENTRY"


@dataclass(frozen=True, slots=True, kw_only=True)
class MadeUp:
    """The size of a data set in the ways in which it can grow."""

    images: int
    candidates: int
    """That each detector finds in an image; a few hundred of them above the evaluation's threshold."""
    faces: int
    """Labelled in an image."""
    side_px: int
    """The long side of an image."""
    detectors: int = 1
    """Stand-ins that find candidates."""


def write_made_up(folder: Path, size: MadeUp) -> list[str]:
    """Write a data set with a val split in WIDER FACE's layout; the answer names the stand-in detectors for it.

    Every image is a grey of its own, so that no two files are the same.
    """
    images = folder / "WIDER_val" / "images" / "0--Made_up"
    images.mkdir(parents=True)
    height, width = size.side_px * 3 // 4, size.side_px
    faces = _faces(size.faces, height, width)
    label = [str(len(faces)), *(f"{x} {y} {w} {h} 0 0 0 0 0 0" for x, y, w, h in faces.tolist())]
    lines = []
    for number in range(size.images):
        pixels = np.full((height, width, 3), number % 256, np.uint8)
        pixels[0, :3] = np.frombuffer(number.to_bytes(9, "little"), np.uint8).reshape(3, 3)
        (images / f"{number:07d}.png").write_bytes(cv2.imencode(".png", pixels)[1].tobytes())
        lines += [f"0--Made_up/{number:07d}.png", *label]
    text = folder / "wider_face_split" / "wider_face_val_bbx_gt.txt"
    text.parent.mkdir()
    text.write_text("\n".join(lines) + "\n")
    weights = [folder / f"stand-in-{number}.txt" for number in range(1, size.detectors + 1)]
    for number, file in enumerate(weights):
        file.write_text(f"{size.candidates} {number}")
    return [f"{STAND_IN}@{file}" for file in weights]


class StandIn:
    """A detector that finds the same boxes in every image, at the same places relative to its sides.

    Another `number` begins with another box.
    """

    def __init__(self, num_candidates: int, number: int = 0, name: str = "stand-in") -> None:
        self.name = name
        self._boxes = np.roll(_relative_boxes(num_candidates), -number, axis=0)
        self._confidences = (0.95 * 0.98 ** np.arange(num_candidates)).astype(np.float32)

    def candidates(self, images: Sequence[UInt8[np.ndarray, "_ _ 3"]]) -> list[ScoredBoxes]:
        """The boxes, in pixels of each image, best first."""
        sides = [np.array([image.shape[1], image.shape[0]] * 2, np.float32) for image in images]
        return [np.column_stack([self._boxes * own, self._confidences]) for own in sides]


def _relative_boxes(count: int) -> Float32[np.ndarray, "box 4"]:
    """Boxes relative to the sides of a picture, the smaller the more there are: crowds cover it no more than a few."""
    random = np.random.default_rng(0).uniform(size=(MAX_CANDIDATES, 3))[:count]
    corners, sides = 0.7 * random[:, :2], (0.1 + 0.2 * random[:, 2:]) * min(1.0, sqrt(_FEW / max(count, 1)))
    return np.concatenate([corners, corners + sides], axis=1).astype(np.float32)


def _faces(count: int, height: int, width: int) -> Int64[np.ndarray, "face 4"]:
    """Faces `x y w h` where every other candidate lies, a little beside it."""
    boxes = np.resize(_relative_boxes(2 * count)[::2], (count, 4)) * [width, height, width, height]
    sizes = 1.1 * (boxes[:, 2:] - boxes[:, :2])
    return np.asarray(np.maximum(np.concatenate([boxes[:, :2], sizes], axis=1).round(), 1), np.int64)


def _created(weights: Path | None, device: str) -> StandIn:
    if weights is None:
        return StandIn(MAX_CANDIDATES)
    num_candidates, number = map(int, weights.read_text().split())
    return StandIn(num_candidates, number, weights.stem)


def _identity(weights: Path | None) -> Mapping[str, Any]:
    if weights is None:
        return {"weights": "none"}
    return {"weights": file_sha256(weights), "detector": weights.stem}


ENTRY = DetectorEntry(
    description="for benchmarks: no network, the same boxes everywhere",
    version=1,
    create=_created,
    identity=_identity,
)
