"""Average precision on WIDER FACE (paper 4.1): the official protocol, and one with every score a threshold.

Each detection in an image with faces goes to the one face that it overlaps most (the first of equals). If
that overlap reaches the wanted IoU, the detection is a *hit* of that face. A setting keeps some faces and
ignores the others: hits of an ignored face count for nothing, all other detections are *proposals*, and a
kept face is *found* at every threshold up to the highest score of its hits (its other hits stay proposals:
mistakes). So at a threshold

    precision = faces found / proposals        recall = faces found / faces kept

and two histograms over scores, of the proposals and of the faces' best hits, give the whole curve. Nothing
depends on the order in which detections come; the field's evaluator (the Python port of the official MATLAB
tool) takes them to be sorted, and gives nonsense without a word when they are not.

Odd input is answered as that evaluator does where it has an answer: detections in an image without faces are
no proposals, but take part in stretching the scores, whose lowest is at most 1 and whose highest at least 0.
Where it has none: if all scores are equal, every detection passes every threshold; without a detection AP is
0; a setting that keeps no face has no AP (NaN).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

_PAIRS = 1 << 20
"""Pairs of a detection and a face at work at a time: bounds the memory at a few matrices of 8 MiB."""


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """Precision and recall at falling thresholds of the score."""

    precision: Float[np.ndarray, " threshold"]
    """0..1, as measured (before the envelope); 0 where nothing is proposed."""
    recall: Float[np.ndarray, " threshold"]
    """0..1, never falling; NaN where no face is kept."""
    thresholds: Float[np.ndarray, " threshold"]
    """In the unit of the scores that were given; detections with at least this score count."""


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation(Mapping[str, float]):
    """AP of one set of detections in each setting; used as a mapping it gives the official AP, 0..1."""

    ap: dict[str, float]
    """Official: thresholds evenly spaced over the data set's range of scores. NaN where no face is kept."""
    exact_ap: dict[str, float]
    """Every score is a threshold: the same for any strictly monotone change of the scores."""
    curves: dict[str, Curve]
    """The official curve, one point a threshold."""
    exact_curves: dict[str, Curve]
    """The exact curve at the points where recall rises; precision only falls between them."""
    num_images: int
    """All that were given, with and without faces."""
    num_faces: dict[str, int]
    """Faces that the setting keeps."""

    def __getitem__(self, setting: str) -> float:
        return self.ap[setting]

    def __iter__(self) -> Iterator[str]:
        return iter(self.ap)

    def __len__(self) -> int:
        return len(self.ap)


@dataclass(frozen=True, slots=True, eq=False)
class Hits:
    """Detections without their boxes, highest score first: all that any curve needs to know of them."""

    scores: Float[np.ndarray, " detection"]
    """Detections in images with faces; those in other images only take part in the range."""
    face: Int[np.ndarray, " detection"]
    """Which face is hit, counted through all images; -1 for none."""
    finder: Int[np.ndarray, " face"]
    """Per face, the detection with the highest score among its hits; -1 for none."""
    score_range: tuple[float, float]
    """Lowest and highest score of all detections, for the normalisation; (0, 1) without detections."""


def widerface_ap(
    detections: Sequence[Float[np.ndarray, "_ 5"]],
    faces: Sequence[Float[np.ndarray, "_ 4"] | Int[np.ndarray, "_ 4"]],
    kept: Mapping[str, Sequence[Bool[np.ndarray, " _"]]],
    iou: float = 0.5,
    num_thresholds: int = 1000,
) -> Evaluation:
    """AP in each setting of `kept`, 0..1; 0 without detections, NaN in a setting that keeps no face.

    All three have one item an image: detections `x1 y1 x2 y2 score` in any order, faces `x1 y1 x2 y2`, and
    for each setting which of these faces count. Coordinates are pixels with `x2 = x1 + width`; overlaps are
    measured as the protocol does, where every box is one pixel wider and higher. `iou` makes a hit.

    Raises ValueError that names the image by its position, where shapes do not fit or a number is not finite.
    """
    _check(detections, faces, kept)
    hits = match(detections, faces, iou)
    masks = {setting: _joined(items, bool) for setting, items in kept.items()}
    curves = {setting: official_curve(hits, mask, num_thresholds) for setting, mask in masks.items()}
    exact_curves = {setting: exact_curve(hits, mask) for setting, mask in masks.items()}
    return Evaluation(
        ap={setting: _ap(curve, masks[setting]) for setting, curve in curves.items()},
        exact_ap={setting: _ap(curve, masks[setting]) for setting, curve in exact_curves.items()},
        curves=curves,
        exact_curves=exact_curves,
        num_images=len(faces),
        num_faces={setting: int(mask.sum()) for setting, mask in masks.items()},
    )


def match(
    detections: Sequence[Float[np.ndarray, "_ 5"]],
    faces: Sequence[Float[np.ndarray, "_ 4"] | Int[np.ndarray, "_ 4"]],
    iou: float = 0.5,
) -> Hits:
    """Find which face each detection hits, for all settings at once; see the module for the rule."""
    scores, hit = [], []
    num_faces = 0
    for image_detections, image_faces in zip(detections, faces, strict=True):
        if len(image_faces) == 0:
            continue
        boxes = image_detections.astype(np.float64)
        scores.append(boxes[:, 4])
        step = max(1, _PAIRS // len(image_faces))
        for start in range(0, len(boxes), step):
            overlaps = _pixel_iou(boxes[start : start + step, :4], image_faces.astype(np.float64))
            nearest = overlaps.argmax(axis=1)
            is_hit = overlaps[np.arange(len(nearest)), nearest] >= iou
            hit.append(np.where(is_hit, nearest + num_faces, -1))
        num_faces += len(image_faces)

    all_scores, all_hits = _joined(scores, np.float64), _joined(hit, np.int64)
    order = np.argsort(-all_scores, kind="stable")
    face = all_hits[order]
    hitting = np.flatnonzero(face >= 0)[::-1]
    finder = np.full(num_faces, -1)
    finder[face[hitting]] = hitting  # from the lowest score up: the highest is written last
    return Hits(all_scores[order], face, finder, _score_range(detections))


def official_curve(hits: Hits, is_kept: Bool[np.ndarray, " face"], num_thresholds: int = 1000) -> Curve:
    """The curve at thresholds `1 - t / num_thresholds`, t = 1..num_thresholds, of scores stretched to 0..1.

    They are stretched by the lowest and the highest score of the whole data set. Scores that crowd share few
    thresholds, so a change of scores that leaves their order alone may move AP by points.
    """
    lowest, highest = hits.score_range
    stretched = (
        np.ones_like(hits.scores) if highest == lowest else (hits.scores - lowest) / (highest - lowest)
    )
    steps = 1 - np.arange(1, num_thresholds + 1) / num_thresholds
    first_step = num_thresholds - np.searchsorted(steps[::-1], stretched, side="right")
    is_proposal, found = _proposals_and_found(hits, is_kept)
    num_proposals = np.bincount(first_step[is_proposal], minlength=num_thresholds).cumsum()
    num_found = np.bincount(first_step[found], minlength=num_thresholds).cumsum()
    return _curve(num_proposals, num_found, int(is_kept.sum()), lowest + steps * (highest - lowest))


def exact_curve(hits: Hits, is_kept: Bool[np.ndarray, " face"]) -> Curve:
    """The curve with every score a threshold, at the points where recall rises; empty if no face is found."""
    is_proposal, found = _proposals_and_found(hits, is_kept)
    is_found = np.zeros(len(hits.scores), dtype=bool)
    is_found[found] = True
    last_of_score = np.flatnonzero(np.append(hits.scores[1:] != hits.scores[:-1], [True])[: len(hits.scores)])
    num_found = is_found.cumsum()[last_of_score]
    rises = np.diff(num_found, prepend=0) > 0
    num_proposals = is_proposal.cumsum()[last_of_score]
    thresholds = hits.scores[last_of_score]
    return _curve(num_proposals[rises], num_found[rises], int(is_kept.sum()), thresholds[rises])


def average_precision(curve: Curve) -> float:
    """Area under the curve, precision raised to the best at equal or higher recall; 0 for an empty curve.

    Recall that no threshold reaches has precision 0. NaN if no face is kept and the curve not empty.
    """
    envelope = np.maximum.accumulate(curve.precision[::-1])[::-1]
    return float(np.sum(np.diff(curve.recall, prepend=0.0) * envelope))


def _ap(curve: Curve, is_kept: Bool[np.ndarray, " face"]) -> float:
    return average_precision(curve) if is_kept.any() else np.nan


def _proposals_and_found(
    hits: Hits, is_kept: Bool[np.ndarray, " face"]
) -> tuple[Bool[np.ndarray, " detection"], Int[np.ndarray, " found"]]:
    """Which detections are proposals, and by which ones the kept faces are found."""
    is_proposal = np.append(is_kept, True)[hits.face]  # -1, no face, looks up the last one
    return is_proposal, hits.finder[is_kept & (hits.finder >= 0)]


def _curve(
    num_proposals: Int[np.ndarray, " threshold"],
    num_found: Int[np.ndarray, " threshold"],
    num_kept: int,
    thresholds: Float[np.ndarray, " threshold"],
) -> Curve:
    recall = num_found / num_kept if num_kept else np.full(len(num_found), np.nan)
    return Curve(num_found / np.maximum(num_proposals, 1), recall, thresholds)


def _pixel_iou(a: Float[np.ndarray, "a 4"], b: Float[np.ndarray, "b 4"]) -> Float[np.ndarray, "a b"]:
    """IoU by the protocol, which counts pixels from `x1` to `x2` inclusive; 0 for boxes that do not meet."""
    a_x1, a_y1, a_x2, a_y2 = np.ascontiguousarray(a.T)[:, :, None]
    b_x1, b_y1, b_x2, b_y2 = np.ascontiguousarray(b.T)[:, None, :]
    width = np.maximum(np.minimum(a_x2, b_x2) - np.maximum(a_x1, b_x1) + 1, 0)
    height = np.maximum(np.minimum(a_y2, b_y2) - np.maximum(a_y1, b_y1) + 1, 0)
    intersection = width * height
    union = (a_x2 - a_x1 + 1) * (a_y2 - a_y1 + 1) + (b_x2 - b_x1 + 1) * (b_y2 - b_y1 + 1) - intersection
    overlap: np.ndarray = intersection / np.maximum(union, np.finfo(np.float64).tiny)  # union <= 0: no box
    return overlap


def _score_range(detections: Sequence[Float[np.ndarray, "_ 5"]]) -> tuple[float, float]:
    extremes = [(float(rows[:, 4].min()), float(rows[:, 4].max())) for rows in detections if len(rows) > 0]
    if not extremes:
        return 0.0, 1.0
    return min(1.0, *(low for low, _ in extremes)), max(0.0, *(high for _, high in extremes))


def _check(
    detections: Sequence[Float[np.ndarray, "_ 5"]],
    faces: Sequence[Float[np.ndarray, "_ 4"] | Int[np.ndarray, "_ 4"]],
    kept: Mapping[str, Sequence[Bool[np.ndarray, " _"]]],
) -> None:
    for what, items in {"faces": faces, **kept}.items():
        if len(items) != len(detections):
            raise ValueError(f"{len(items)} images in `{what}`, but {len(detections)} in the detections")
    for image, (rows, boxes) in enumerate(zip(detections, faces, strict=True)):
        if not (np.isfinite(rows).all() and np.isfinite(boxes).all()):
            raise ValueError(f"image {image}: a coordinate or score is not a finite number")
        for setting, items in kept.items():
            if len(items[image]) != len(boxes):
                raise ValueError(
                    f"image {image}: {len(boxes)} faces, but `{setting}` has a mask of {len(items[image])}"
                )


def _joined(items: Sequence[np.ndarray], dtype: type) -> np.ndarray:
    joined: np.ndarray = np.concatenate([np.zeros(0, dtype), *items])
    return joined
