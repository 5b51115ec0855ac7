"""Suppression and voting as one writes them first: a loop over boxes with NumPy, one kept box at a time."""

import numpy as np
from jaxtyping import Float, Float32, Int64


def plain_nms(
    boxes: Float32[np.ndarray, "n 4"], scores: Float32[np.ndarray, " n"], iou_threshold: float
) -> Int64[np.ndarray, " kept"]:
    """What greedy suppression keeps, best first: `crface.boxes.nms`, one kept box after the other."""
    left = np.argsort(-scores, kind="stable")
    kept = []
    while len(left):
        kept.append(left[0])
        left = left[1:][_overlaps(boxes[left[0]], boxes[left[1:]]) <= iou_threshold]
    return np.array(kept, np.int64)


def plain_voting(
    boxes: Float32[np.ndarray, "n 4"], scores: Float32[np.ndarray, " n"], iou_threshold: float
) -> Float[np.ndarray, "kept 5"]:
    """Each cluster's mean with its best score, best first: `crface.boxes.box_voting`, one cluster after the other."""
    left = np.argsort(-scores, kind="stable")
    voted = []
    while len(left):
        joins = _overlaps(boxes[left[0]], boxes[left]) > iou_threshold
        joins[0] = True
        members = left[joins]
        weights = scores[members].astype(np.float64)
        voted.append([*(weights @ boxes[members] / weights.sum()), scores[left[0]]])
        left = left[~joins]
    return np.array(voted).reshape(-1, 5)


def _overlaps(
    box: Float32[np.ndarray, " 4"], others: Float32[np.ndarray, "n 4"]
) -> Float32[np.ndarray, " n"]:
    sides = np.minimum(box[2:], others[:, 2:]) - np.maximum(box[:2], others[:, :2])
    shared = np.maximum(sides, 0).prod(axis=1)
    area = (box[2:] - box[:2]).prod()
    return np.asarray(shared / (area + (others[:, 2:] - others[:, :2]).prod(axis=1) - shared))
