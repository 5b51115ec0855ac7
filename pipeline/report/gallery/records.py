"""The gallery's JSON: what the script reads of a detector, of a line in the list, and of one image."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from pipeline.dataset.index import Index
from pipeline.report.gallery.judging import JudgedImage, Side
from pipeline.report.gallery.reading import SourceImages
from pipeline.report.gallery.survey import FAILURES, SIZES, Line, Survey

OUTCOMES: Final = (
    "on a face that is ignored",
    "finds a face",
    "second box on a face",
    "misplaced",
    "on the background",
    "not judged: no labels",
)
"""What a box is, by its outcome's number."""

MAX_BOXES: Final = 200
"""The best boxes of each side that an image's record has, at least."""

Json = dict[str, Any]


def split_record(index: Index, *, is_labelled: bool, iou: float) -> Json:
    """What all detectors share."""
    return {
        "split": index.split,
        "isLabelled": is_labelled,
        "iou": iou,
        "outcomes": OUTCOMES,
        "failures": FAILURES,
        "sizes": SIZES,
    }


def detector_record(images: SourceImages, name: str) -> Json:
    """A detector's entry in the menu, and the names of its two confidences."""
    return {"name": name, "before": "predicted", "after": images.after}


def survey_record(found: Survey, rows: Sequence[int] | None = None) -> Json:
    """The slider's steps, and the lines of `rows`, or all."""
    wanted = None if rows is None else set(rows)
    return {
        "steps": [[step.share, step.before, step.after] for step in found.steps],
        "start": found.start,
        "lines": [_line(line) for line in found.lines if wanted is None or line.row in wanted],
    }


def image_names(index: Index, rows: Sequence[int]) -> list[list[Any]]:
    """Row, path, width and height of images."""
    return [[row, index.row(row).path, index.row(row).width, index.row(row).height] for row in rows]


def image_record(image: JudgedImage) -> Json:
    """All that the page shows of one image: its boxes, its faces, and how many boxes are left out.

    A box is x1, y1, x2, y2, the predicted, refined and oracle confidence (null if there is none), and its outcome
    before and after. A face is x1, y1, x2, y2, 1 if it counts, the scores that find it before and after (null: none),
    and 1 if a candidate hits it.
    """
    chosen = _best(image)
    return {
        "boxes": [_box(image, place) for place in chosen],
        "faces": [_face(image, number) for number in range(len(image.faces.boxes))],
        "leftOut": len(image.boxes) - len(chosen),
    }


def script_safe(record: Mapping[str, Any]) -> str:
    """JSON that no HTML parser takes for the end of a script, whatever the names of images are."""
    text = json.dumps(record, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _line(line: Line) -> list[int]:
    return [line.row, line.num_faces, *line.found, *line.mistakes, line.failures, line.sizes]


def _best(image: JudgedImage) -> list[int]:
    """The places of each side's best boxes, in their order; more of them than faces can be found."""
    most = max(MAX_BOXES, 2 * len(image.faces.boxes))
    best = [_ranked(side)[:most] for side in (image.before, image.after)]
    return [int(place) for place in np.unique(np.concatenate(best))]


def _ranked(side: Side) -> np.ndarray:
    present = np.flatnonzero(side.outcome >= 0)
    order: np.ndarray = present[np.argsort(-side.scores[present], kind="stable")]
    return order


def _box(image: JudgedImage, place: int) -> list[float | int | None]:
    return [
        *(round(float(value), 1) for value in image.boxes[place]),
        float(image.predicted[place]),
        None if image.refined is None else float(image.refined[place]),
        None if image.oracle is None else float(image.oracle[place]),
        int(image.before.outcome[place]),
        int(image.after.outcome[place]),
    ]


def _face(image: JudgedImage, number: int) -> list[float | int | None]:
    scores = (float(side.face_score[number]) for side in (image.before, image.after))
    return [
        *(round(float(value), 1) for value in image.faces.boxes[number]),
        int(image.faces.is_kept[number]),
        *(None if np.isnan(score) else score for score in scores),
        int(image.is_reachable[number]),
    ]
