"""Pictures for readers without a script, and for paper: a few images of each detector, every box with its meaning."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from crface.evaluation.failures import DetectionOutcome
from pipeline.report.gallery.judging import JudgedImage, Side
from pipeline.report.gallery.survey import Line, Step, Survey

Kind = Literal["hit", "mistake", "ignored", "missed"]


@dataclass(frozen=True, slots=True)
class Rectangle:
    """A box or a missed face, in the image's pixels."""

    x: float
    y: float
    width: float
    height: float
    kind: Kind


@dataclass(frozen=True, slots=True)
class StillSide:
    """An image under one confidence."""

    found: int
    mistakes: int
    rectangles: list[Rectangle]
    """The best last, so that it is drawn over the others."""


@dataclass(frozen=True, slots=True)
class StillPicture:
    """An image under both confidences, with as many boxes in the split as there are faces."""

    row: int
    num_faces: int
    """Those that count."""
    change: int
    sides: tuple[StillSide, StillSide]


def still_pictures(found: Survey, rows: Sequence[int], num_each: int) -> list[StillPicture]:
    """Among `rows`, the images helped most and those hurt most, `num_each` of both at most."""
    wanted = set(rows)
    lines = [line for line in found.lines if line.row in wanted]
    helped = sorted((line for line in lines if line.change > 0), key=lambda line: -line.change)
    hurt = sorted((line for line in lines if line.change < 0), key=lambda line: line.change)
    step = found.steps[found.start]
    return [_still(line, found.images[line.row], step) for line in (*helped[:num_each], *hurt[:num_each])]


def _still(line: Line, image: JudgedImage, step: Step) -> StillPicture:
    before = StillSide(line.found[0], line.mistakes[0], _rectangles(image, image.before, step.before))
    after = StillSide(line.found[1], line.mistakes[1], _rectangles(image, image.after, step.after))
    return StillPicture(line.row, line.num_faces, line.change, (before, after))


def _rectangles(image: JudgedImage, side: Side, threshold: float) -> list[Rectangle]:
    is_missed = image.faces.is_kept & ~(side.face_score >= threshold)
    missed = [_rectangle(face, "missed") for face in image.faces.boxes[is_missed]]
    shown = np.flatnonzero((side.outcome >= 0) & (side.scores >= threshold))
    rising = shown[np.argsort(side.scores[shown], kind="stable")]
    return missed + [_rectangle(image.boxes[place], _kind(int(side.outcome[place]))) for place in rising]


def _kind(outcome: int) -> Kind:
    if outcome == DetectionOutcome.IGNORED:
        return "ignored"
    return "hit" if outcome == DetectionOutcome.FINDS else "mistake"


def _rectangle(xyxy: np.ndarray, kind: Kind) -> Rectangle:
    x1, y1, x2, y2 = (round(float(value), 1) for value in xyxy)
    return Rectangle(x1, y1, round(max(x2 - x1, 0.0), 1), round(max(y2 - y1, 0.0), 1), kind)
