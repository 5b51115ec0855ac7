"""The official evaluation step by step: the slow, obvious form, for tests and as a benchmark's baseline.

One image, one setting and one threshold after the other, as the field's evaluator works: it measures the
overlaps of an image anew for each setting, walks through its detections from the best down, and then counts
proposals and found faces at each of the thresholds. `widerface_ap` gives the same numbers hundreds of times
faster. Two things differ from that evaluator: detections are sorted here instead of being taken to be, and
equal scores throughout, where it divides by zero, pass every threshold.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Bool, Float, Int

from crface.array_shapes import FaceMask
from crface.evaluation.matching import Detections, Faces


def literal_widerface_ap(
    detections: Detections,
    faces: Faces,
    kept: Mapping[str, Sequence[Bool[np.ndarray, " _"]]],
    iou: float = 0.5,
    num_thresholds: int = 1000,
) -> dict[str, float]:
    """Official AP in each setting, 0..1; arguments and odd input as for `widerface_ap`, but nothing is checked."""
    normalised = _normalised(detections)
    return {
        setting: _setting_ap(normalised, faces, masks, iou, num_thresholds) for setting, masks in kept.items()
    }


def _normalised(detections: Detections) -> list[Float[np.ndarray, "_ 5"]]:
    """Sort each image's detections and stretch all scores to 0..1 by the range of the whole data set."""
    lowest, highest = 1.0, 0.0
    for rows in detections:
        if len(rows) > 0:
            lowest = min(lowest, float(rows[:, 4].min()))
            highest = max(highest, float(rows[:, 4].max()))
    normalised = []
    for rows in detections:
        ordered = rows[np.argsort(-rows[:, 4], kind="stable")].astype(np.float64)
        ordered[:, 4] = (ordered[:, 4] - lowest) / (highest - lowest) if highest > lowest else 1.0
        normalised.append(ordered)
    return normalised


def _setting_ap(
    detections: Sequence[Float[np.ndarray, "_ 5"]],
    faces: Faces,
    masks: Sequence[Bool[np.ndarray, " _"]],
    iou: float,
    num_thresholds: int,
) -> float:
    num_kept = 0
    totals = np.zeros((num_thresholds, 2))
    for rows, boxes, is_kept in zip(detections, faces, masks, strict=True):
        num_kept += int(is_kept.sum())
        if len(rows) == 0 or len(boxes) == 0:
            continue
        num_proposals, num_found = _counts_after_each(rows, boxes.astype(np.float64), is_kept, iou)
        for step in range(num_thresholds):
            passing = np.flatnonzero(rows[:, 4] >= 1 - (step + 1) / num_thresholds)
            if len(passing) > 0:
                totals[step] += num_proposals[passing[-1]], num_found[passing[-1]]
    return _area(totals, num_kept) if num_kept else float("nan")


def _counts_after_each(
    rows: Float[np.ndarray, "detection 5"],
    faces: Float[np.ndarray, "face 4"],
    is_kept: FaceMask,
    iou: float,
) -> tuple[Int[np.ndarray, " detection"], Int[np.ndarray, " detection"]]:
    """Proposals and found faces of one image when its detections are accepted up to each of them."""
    overlaps = _overlaps(rows, faces)
    is_found = np.zeros(len(faces), dtype=bool)
    num_proposals, num_found = np.zeros((2, len(rows)), dtype=np.int64)
    proposed = 0
    for number, overlap in enumerate(overlaps):
        nearest = int(overlap.argmax())
        if overlap[nearest] < iou:
            proposed += 1
        elif is_kept[nearest]:
            proposed += 1
            is_found[nearest] = True
        num_proposals[number] = proposed
        num_found[number] = is_found.sum()
    return num_proposals, num_found


def _overlaps(
    rows: Float[np.ndarray, "detection 5"], faces: Float[np.ndarray, "face 4"]
) -> Float[np.ndarray, "detection face"]:
    """IoU with both ends of a box counted as pixels; 0 for boxes that do not meet."""
    overlaps = np.zeros((len(rows), len(faces)))
    for column, (x1, y1, x2, y2) in enumerate(faces):
        width = np.minimum(rows[:, 2], x2) - np.maximum(rows[:, 0], x1) + 1
        height = np.minimum(rows[:, 3], y2) - np.maximum(rows[:, 1], y1) + 1
        areas = (rows[:, 2] - rows[:, 0] + 1) * (rows[:, 3] - rows[:, 1] + 1)
        meets = (width > 0) & (height > 0)
        intersection = width[meets] * height[meets]
        overlaps[meets, column] = intersection / (areas[meets] + (x2 - x1 + 1) * (y2 - y1 + 1) - intersection)
    return overlaps


def _area(totals: Float[np.ndarray, "threshold 2"], num_kept: int) -> float:
    """Area under precision (its best at equal or higher recall) over recall."""
    area, reached = 0.0, 0.0
    precisions = [found / proposals if proposals > 0 else 0.0 for proposals, found in totals]
    for step, (_, found) in enumerate(totals):
        recall = found / num_kept
        if recall > reached:
            area += (recall - reached) * max(precisions[step:])
            reached = recall
    return float(area)
