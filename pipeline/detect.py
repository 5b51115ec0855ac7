"""Detections in single images, outside any workspace: detected, refined, suppressed, and drawn."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import torch

import detectors
from crface.array_shapes import ScoredBoxes
from crface.detections import detections_of
from crface.ranker.describing import describe
from crface.ranker.home import USUAL_DISTANCE, trust_in
from crface.ranker.opinions import with_opinions
from detectors.plausible import misread_corners
from pipeline.blocks.trust import Judgement
from pipeline.config.sections import EvaluateConfig
from pipeline.errors import UsageError, UserError
from pipeline.images.decode import MAX_PIXELS, examined_image, read_bytes
from pipeline.images.drawing import Picture, drawn
from pipeline.images.drawing_mark import is_drawing, marked
from pipeline.images.files import Kind, passed_over, walk_images
from pipeline.imports.imported import is_imported
from pipeline.rank.judging import MAX_PICTURES
from pipeline.workspace.writing import write_atomically

if TYPE_CHECKING:
    from crface.ranker import Ranker

_JPEG_QUALITY = 92
_MAX_STEM_BYTES = 200


@dataclass(frozen=True, slots=True, eq=False)
class FoundFaces:
    """The faces found in an image."""

    image: Picture
    detections: ScoredBoxes
    """Rows `x1 y1 x2 y2 confidence` above the threshold, in the image's stored pixels, best first."""
    best: float
    """The highest confidence of any detection, above the threshold or not; 0 if there are none."""
    complaint: str
    """The decoder's complaint about damage that it worked around; empty for none."""


class FaceFinder:
    """A detector, with or without a ranker, ready to use; on a GPU if there is one."""

    def __init__(self, detector: str, ranker: Path | None, opinions: Sequence[str] = ()) -> None:
        """Load the detector, the ranker, and the detectors that the ranker asks, by name unless `opinions` has them.

        Raises UsageError for a detector that cannot be created, or that nobody asks, UserError for a file that is no
        ranker.
        """
        device = "cuda" if torch.cuda.is_available() else "cpu"
        self._detector = _created(detector, device)
        self._ranker = None if ranker is None else _loaded(ranker, device)
        asked = () if self._ranker is None else self._ranker.opinions
        given = {_name(spec): spec for spec in (*opinions, detector)}
        if unasked := [spec for spec in opinions if _name(spec) not in asked]:
            raise UsageError(f"nobody asks {unasked[0]}: the ranker asks {', '.join(asked) or 'no detector'}")
        self._asked = [
            None if name == _name(detector) else _created(given.get(name, name), device) for name in asked
        ]
        self._trust = 1.0
        self._kept: dict[Path, ScoredBoxes] = {}

    def judge(self, paths: Sequence[Path], max_pixels: int = MAX_PIXELS) -> Judgement | None:
        """How far the ranker is trusted from now on, by some of these files, spread evenly over them.

        None, and full trust, without a ranker that knows where it is at home. Files that cannot be read or looked at
        are passed over. Candidates are kept for `find`.
        """
        if self._ranker is None or (home := self._ranker.home) is None:
            return None
        step = max(1.0, len(paths) / MAX_PICTURES)
        descriptions = []
        for path in [paths[int(i * step)] for i in range(min(len(paths), MAX_PICTURES))]:
            try:
                image, _, rows = self._looked_at(path, max_pixels)
            except UserError:
                continue
            self._kept[path] = rows
            descriptions.append(describe(image, rows))
        distance, trust = trust_in(home, descriptions)
        self._trust = max(trust, self._ranker.least_trust)
        return Judgement(
            images="",
            num_pictures=len(descriptions),
            distance=distance,
            usual_distance=USUAL_DISTANCE,
            trust=self._trust,
        )

    def find(self, path: Path, threshold: float, max_pixels: int = MAX_PIXELS) -> FoundFaces:
        """The faces in an image file whose confidence, refined if there is a ranker, is above `threshold`.

        As in the evaluation, candidates to which the detector itself gives 0.02 or less take no part, and of
        those that overlap by more than 0.4 the best is kept.

        Raises ImageError when the image cannot be read or has more than `max_pixels`, UserError when the detector
        refuses it.
        """
        config = EvaluateConfig()
        image, complaint, rows = self._looked_at(path, max_pixels)
        refined = None
        if self._ranker is not None:
            said = [None if other is None else _candidates(other, image, path) for other in self._asked]
            refined = self._ranker.refine(
                image, with_opinions(rows, said), self._trust, config.score_threshold
            )
        kept = detections_of(
            torch.from_numpy(np.ascontiguousarray(rows, np.float32)),
            None if refined is None else torch.from_numpy(refined),
            score_threshold=config.score_threshold,
            nms_iou=config.nms_iou,
        ).numpy()
        # nothing suppresses the candidate with the highest score, so it comes first
        best = float(kept[0, 4]) if len(kept) else 0.0
        return FoundFaces(image, kept[kept[:, 4] > threshold], best, complaint)

    def _looked_at(self, path: Path, max_pixels: int) -> tuple[Picture, str, ScoredBoxes]:
        """An image, the decoder's complaint about it, and the detector's candidates; raises as `find` does."""
        image, complaint = examined_image(read_bytes(path, max_pixels), path, max_pixels)
        if path in self._kept:
            return image, complaint, self._kept.pop(path)
        return image, complaint, _candidates(self._detector, image, path)


def write_picture(found: FoundFaces, photograph: Path, folder: Path) -> Path:
    """Write a photograph with its detections drawn on it to a folder, as JPEG; returns its path.

    The name is `photo-faces.jpg`, or `photo-faces-2.jpg` and so on while a file of that name exists that was not
    drawn from this photograph: nothing but an earlier drawing of it is replaced.

    Raises UserError when the file cannot be written.
    """
    path = _free_path(photograph, folder)
    picture = cv2.cvtColor(drawn(found.image, found.detections), cv2.COLOR_RGB2BGR)
    ok, data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
    if not ok:
        raise UserError(f"cannot write {path}: a JPEG holds at most 65,535 pixels a side")
    try:
        write_atomically(path, marked(data.tobytes(), photograph))
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}") from error
    return path


def photographs(given: Sequence[Path]) -> tuple[list[Path], list[str]]:
    """The image files to look at, those of a folder sorted by name, and sentences about what is left out.

    Drawings of an earlier run are left out, even if they are named.
    """
    files: list[Path] = []
    notes: list[str] = []
    for path in given:
        walked = list(walk_images(path)) if path.is_dir() else [(_kind(path), path)]
        files += [file for kind, file in walked if kind == "image"]
        notes += passed_over(path if path.is_dir() else path.parent, walked)
    return files, notes


def _kind(path: Path) -> Kind:
    return "drawing" if is_drawing(path) else "image"


def _free_path(photograph: Path, folder: Path) -> Path:
    # most file systems take 255 bytes, some of them for a temporary name
    stem = os.fsdecode(os.fsencode(photograph.stem)[:_MAX_STEM_BYTES])
    for number in count(1):
        path = folder / f"{stem}-faces{f'-{number}' if number > 1 else ''}.jpg"
        if not os.path.lexists(path) or is_drawing(path, photograph):
            return path
    raise AssertionError("numbers do not end")


def _created(detector: str, device: str) -> detectors.Detector:
    if is_imported(detector):
        raise UsageError(f"{detector} was run elsewhere: it has no candidates for other images")
    try:
        return detectors.create(detector, device=device)
    except ValueError as error:
        raise UsageError(str(error)) from error


def _name(spec: str) -> str:
    return spec.partition("@")[0]


def _candidates(detector: detectors.Detector, image: Picture, path: Path) -> ScoredBoxes:
    try:
        rows = detector.candidates([image])[0]
    except ValueError as error:  # an image that a detector cannot take, or damaged weights
        raise UserError(f"{path}: {error}") from error
    if misread := misread_corners(rows, *image.shape[:2]):
        raise UserError(f"{path}: the detector gave boxes that no face can have: {misread}")
    return rows


def _loaded(path: Path, device: str) -> "Ranker":
    from crface import ranker

    try:
        return ranker.load(path).to(device)
    except ValueError as error:
        raise UserError(str(error)) from error
