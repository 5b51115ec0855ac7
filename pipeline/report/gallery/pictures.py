"""Pictures before and after: detections of the split's most changed images, each judged against its faces.

Both sides show as many boxes as there are faces in the whole split, so that neither looks better for being
more timid: the confidence from which boxes are shown is chosen for each side by itself.
"""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from jaxtyping import Bool, Float, Float32, Float64, Int, UInt8

from crface.evaluation import match
from pipeline.blocks.store import CandidateStore, ImageUnreadable, ScoreStore
from pipeline.config.sections import EvaluateConfig
from pipeline.dataset.index import Index
from pipeline.evaluate.detections import ORACLE, PREDICTED, RANKED, Variant, image_detections
from pipeline.evaluate.sources import Source
from pipeline.ground_truth.truth import GroundTruth, overlap
from pipeline.images.decode import ImageError
from pipeline.workspace.layout import Workspace

Kind = Literal["hit", "mistake", "ignored", "missed"]

_LONG_SIDE_PX = 800
_JPEG_QUALITY = 80
_MIN_LABELLED_SHARE = 0.035  # of the long side: labels of smaller boxes would hide one another
_SETTING = "hard"  # the one that keeps most faces


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle on a picture, in the image's pixels."""

    x: float
    y: float
    width: float
    height: float
    kind: Kind
    confidence: str
    """As it is written on the box; empty for a missed face."""
    is_labelled: bool
    """Large enough for its confidence to be written beside it."""


@dataclass(frozen=True, slots=True)
class Side:
    """One picture under one confidence."""

    found: int
    mistakes: int
    boxes: list[Box]


@dataclass(frozen=True, slots=True)
class Picture:
    """One image under both confidences."""

    path: str
    width: int
    height: int
    data_uri: str
    """The image, reduced, as JPEG."""
    num_faces: int
    """Those that count."""
    before: Side
    after: Side


@dataclass(frozen=True, slots=True)
class Gallery:
    """The most changed images of a split, most changed first."""

    before: str
    """Which confidence the left side shows: predicted."""
    after: str
    """Which the right side shows: ranked, or oracle where there is no ranker."""
    before_threshold: float
    """Boxes with at least this confidence are shown."""
    after_threshold: float
    pictures: list[Picture]


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """An image's detections under one confidence, best first, and what each is worth."""

    boxes: Float[np.ndarray, "detection 4"]
    scores: Float[np.ndarray, " detection"]
    face: Int[np.ndarray, " detection"]
    """Which face each hits; -1 for none."""
    kinds: np.ndarray
    """hit, mistake or ignored."""


@dataclass(frozen=True, slots=True, eq=False)
class _Image:
    row: int
    faces: Float64[np.ndarray, "face 4"]
    is_kept: Bool[np.ndarray, " face"]
    before: Judged
    after: Judged


def gallery(
    workspace: Workspace,
    index: Index,
    source: Source,
    truth: GroundTruth,
    config: EvaluateConfig,
    num_pictures: int,
) -> Gallery:
    """The images where the number of faces found minus mistakes changes most, drawn; ties by row.

    Raises UserError when the candidates or scores are missing or damaged.
    """
    after = RANKED if source.ranker else ORACLE
    judged = _judged_images(workspace, index, source, truth, config, after)
    num_faces = sum(int(item.is_kept.sum()) for item in judged)
    thresholds = (
        _threshold([item.before for item in judged], num_faces),
        _threshold([item.after for item in judged], num_faces),
    )
    pictures: list[Picture] = []
    for item in sorted(judged, key=lambda item: (-abs(_change(item, thresholds)), item.row)):
        if len(pictures) == num_pictures:
            break
        try:
            pixels = index.read_image(item.row)
        except ImageError:
            continue  # it has gone since it was evaluated
        pictures.append(_picture(index.row(item.row).path, pixels, item, thresholds))
    return Gallery(PREDICTED.confidence, after.confidence, *thresholds, pictures)


def _judged_images(
    workspace: Workspace,
    index: Index,
    source: Source,
    truth: GroundTruth,
    config: EvaluateConfig,
    after: Variant,
) -> list[_Image]:
    common = overlap(truth, index)
    candidates = CandidateStore.open(workspace.candidates(source.key))
    scores = ScoreStore.open(workspace.scores(source.key, source.ranker)) if source.ranker else None
    images = []
    for row, image in zip(common.rows, common.images, strict=True):
        try:
            boxes = candidates.read(row)
            refined = scores.read(row) if scores is not None else None
        except ImageUnreadable:
            continue
        faces, is_kept = truth.faces[image], truth.kept[_SETTING][image]
        found = _detections(boxes, refined, faces, config)
        before_and_after = (
            judge(found[variant], faces, is_kept, config.iou) for variant in (PREDICTED, after)
        )
        images.append(_Image(row, faces, is_kept, *before_and_after))
    return images


def _detections(
    candidates: Float32[np.ndarray, "candidate 5"],
    refined: Float32[np.ndarray, " candidate"] | None,
    faces: Float64[np.ndarray, "face 4"],
    config: EvaluateConfig,
) -> dict[Variant, Float32[np.ndarray, "_ 5"]]:
    is_above = candidates[:, 4] > config.score_threshold  # the others would only be looked at for the oracle
    return image_detections(
        candidates[is_above], None if refined is None else refined[is_above], faces, config
    )


def judge(
    detections: Float[np.ndarray, "detection 5"],
    faces: Float64[np.ndarray, "face 4"],
    is_kept: Bool[np.ndarray, " face"],
    iou: float,
) -> Judged:
    """Detections judged as the evaluation does: only the best detection of a face is a hit."""
    if len(faces) == 0:
        face = np.full(len(detections), -1)
        return Judged(detections[:, :4], detections[:, 4], face, np.full(len(detections), "mistake"))
    hits = match([detections], [faces], iou)  # in the order of the detections
    is_first = np.zeros(len(detections), dtype=bool)
    is_first[hits.finder[hits.finder >= 0]] = True
    is_ignored = (hits.face >= 0) & ~is_kept[hits.face]
    kinds = np.select([is_ignored, is_first], ["ignored", "hit"], "mistake")
    return Judged(detections[:, :4], detections[:, 4], hits.face, kinds)


def _threshold(judged: Sequence[Judged], num_faces: int) -> float:
    """The confidence from which there are as many boxes as faces; the lowest if there are fewer boxes."""
    scores = np.concatenate([np.zeros(0), *(item.scores[item.kinds != "ignored"] for item in judged)])
    if len(scores) == 0:
        return 0.0
    return float(-np.sort(-scores)[min(max(num_faces, 1), len(scores)) - 1])


def _tally(judged: Judged, threshold: float) -> tuple[int, int]:
    shown = judged.kinds[judged.scores >= threshold]
    return int((shown == "hit").sum()), int((shown == "mistake").sum())


def _change(image: _Image, thresholds: tuple[float, float]) -> int:
    found_before, false_before = _tally(image.before, thresholds[0])
    found_after, false_after = _tally(image.after, thresholds[1])
    return (found_after - false_after) - (found_before - false_before)


def _picture(
    path: str, pixels: UInt8[np.ndarray, "height width 3"], image: _Image, thresholds: tuple[float, float]
) -> Picture:
    height, width, _ = pixels.shape
    least = max(width, height) * _MIN_LABELLED_SHARE
    before = _side(image, image.before, thresholds[0], least)
    after = _side(image, image.after, thresholds[1], least)
    return Picture(path, width, height, _data_uri(pixels), int(image.is_kept.sum()), before, after)


def _side(image: _Image, judged: Judged, threshold: float, least: float) -> Side:
    shown = judged.scores >= threshold
    missed = image.is_kept.copy()
    missed[judged.face[shown & (judged.kinds == "hit")]] = False
    boxes = [_box(face, "missed", "", least) for face in image.faces[missed]]
    # the best last, so that it is drawn over the others
    for position in np.flatnonzero(shown)[::-1]:
        kind: Kind = judged.kinds[position]
        boxes.append(_box(judged.boxes[position], kind, f"{judged.scores[position]:.2f}", least))
    return Side(*_tally(judged, threshold), boxes)


def _box(xyxy: np.ndarray, kind: Kind, confidence: str, least: float) -> Box:
    x1, y1, x2, y2 = (round(float(value), 1) for value in xyxy)
    width, height = round(max(x2 - x1, 0.0), 1), round(max(y2 - y1, 0.0), 1)
    return Box(x1, y1, width, height, kind, confidence, bool(confidence) and max(width, height) >= least)


def _data_uri(pixels: UInt8[np.ndarray, "height width 3"]) -> str:
    height, width, _ = pixels.shape
    scale = min(1.0, _LONG_SIDE_PX / max(width, height))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    reduced = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    ok, data = cv2.imencode(
        ".jpg", cv2.cvtColor(reduced, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY]
    )
    assert ok  # an 8-bit image of three channels always encodes
    return "data:image/jpeg;base64," + base64.b64encode(data.tobytes()).decode()
