"""AP and AR as COCO measures them, with pycocotools, on any data set with labels."""

import contextlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from jaxtyping import Float

MAX_DETECTIONS: Final = 100
"""Best detections of an image that count. In a crowd of more faces, COCO's recall therefore stays below 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CocoResult:
    """COCO's figures, 0..1; NaN where there is no face (of that size)."""

    ap: float
    """Mean AP over IoU 0.50, 0.55, ..., 0.95."""
    ap50: float
    """AP at IoU 0.50."""
    ap75: float
    """AP at IoU 0.75."""
    ap_small: float
    """AP of faces with an area below 32 x 32 pixels."""
    ap_medium: float
    """AP of faces with an area of 32 x 32 to 96 x 96 pixels."""
    ap_large: float
    """AP of faces with an area of 96 x 96 pixels or more."""
    ar_1: float
    """Mean recall over the same IoUs, with the best detection of each image."""
    ar_10: float
    ar_100: float
    ar_small: float
    ar_medium: float
    ar_large: float
    num_images: int
    num_faces: int
    """Faces with an area, including those that a setting of WIDER FACE would ignore."""


def coco_ap(
    detections: Sequence[Float[np.ndarray, "_ 5"]], faces: Sequence[Float[np.ndarray, "_ 4"]]
) -> CocoResult:
    """COCO's figures for detections and faces of one category, with no face ignored; prints nothing.

    Both sequences have one item per image: detections `x1 y1 x2 y2 score` in any order, faces `x1 y1 x2 y2`. Faces
    without area are left out. Overlaps use continuous coordinates, without WIDER FACE's extra pixel.

    Raises ValueError when the numbers of images differ.
    """
    if len(detections) != len(faces):
        raise ValueError(f"{len(faces)} images in `faces`, but {len(detections)} in the detections")
    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints at every step
        figures, num_faces = _evaluate(detections, faces)
    return CocoResult(
        **{
            name: float(value) if value > -1 else float("nan")
            for name, value in zip(_FIGURES, figures, strict=True)
        },
        num_images=len(faces),
        num_faces=num_faces,
    )


_FIGURES: Final = (
    *("ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large"),
    *("ar_1", "ar_10", "ar_100", "ar_small", "ar_medium", "ar_large"),
)  # the order of COCOeval.stats


def _evaluate(
    detections: Sequence[Float[np.ndarray, "_ 5"]], faces: Sequence[Float[np.ndarray, "_ 4"]]
) -> tuple[Sequence[float], int]:
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    annotations: list[dict[str, Any]] = []
    for image, boxes in enumerate(faces):
        for x1, y1, x2, y2 in boxes.tolist():
            if x2 > x1 and y2 > y1:
                box = [x1, y1, x2 - x1, y2 - y1]
                annotations.append(
                    {
                        "id": len(annotations) + 1,
                        "image_id": image,
                        "category_id": 1,
                        "bbox": box,
                        "area": box[2] * box[3],
                        "iscrowd": 0,
                    }
                )
    if not annotations:
        return [-1.0] * len(_FIGURES), 0
    truth = COCO()
    truth.dataset = {
        "images": [{"id": image} for image in range(len(faces))],
        "annotations": annotations,
        "categories": [{"id": 1, "name": "face"}],
    }
    truth.createIndex()
    rows = [
        np.column_stack(
            [
                np.full(len(found), image),
                found[:, :2],
                found[:, 2:4] - found[:, :2],
                found[:, 4],
                np.ones(len(found)),
            ]
        )
        for image, found in enumerate(detections)
        if len(found)
    ]
    found = truth.loadRes(np.concatenate(rows)) if rows else _nothing(truth)
    evaluation = COCOeval(truth, found, "bbox")
    evaluation.params.maxDets = [1, 10, MAX_DETECTIONS]
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    return evaluation.stats.tolist(), len(annotations)


def _nothing(truth: Any) -> Any:
    empty = type(truth)()
    empty.dataset = {**truth.dataset, "annotations": []}
    empty.createIndex()
    return empty
