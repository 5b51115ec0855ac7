"""What changed in which image: a pass over a source's images, the thresholds of the slider, a line an image."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
from jaxtyping import Float64

from crface.evaluation.failures import DetectionOutcome
from pipeline.report.gallery.judging import ABSENT, JudgedImage, Side
from pipeline.report.gallery.reading import SourceImages

MAX_SURVEYED: Final = 5_000
"""Of more images, this many are looked at, spread evenly: up to some tens of kilobytes each stay in memory."""

FAILURES: Final = (
    "missed, though a candidate hits it",
    "missed, and no candidate hits it",
    "second box on a face",
    "misplaced box",
    "box on the background",
)
"""The kinds of failure, in the order of `Line.failures`."""

_HEIGHT_EDGES_PX = (0, 20, 40, 80, 160, np.inf)
SIZES: Final = (
    "up to 20 px high",
    *(f"{low} to {high} px high" for low, high in pairwise(_HEIGHT_EDGES_PX[1:-1])),
    "over 160 px high",
)
"""The sizes of faces, in the order of `Line.sizes`."""

_SHARES = (*(0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0), *(1.1, 1.25, 1.5, 1.75, 2, 2.5, 3, 4))
_START = _SHARES.index(1.0)
_BOXES_AN_IMAGE = 5  # the start where no face is known
_MISTAKES = (DetectionOutcome.DUPLICATE, DetectionOutcome.MISPLACED, DetectionOutcome.BACKGROUND)


@dataclass(frozen=True, slots=True)
class Step:
    """One position of the slider, which shows equally many boxes on both sides."""

    share: float
    """Boxes shown for each face that counts; for each image where no face is known."""
    before: float
    """The lowest predicted confidence that is shown."""
    after: float


@dataclass(frozen=True, slots=True)
class Line:
    """One image in a few numbers, with as many boxes shown in the split as there are faces."""

    row: int
    num_faces: int
    found: tuple[int, int]
    """Faces found before and after."""
    mistakes: tuple[int, int]
    """False positives before and after."""
    failures: int
    """A bit for each of FAILURES that occurs on either side."""
    sizes: int
    """A bit for each of SIZES that a face has."""

    @property
    def change(self) -> int:
        """Faces found minus mistakes, after minus before."""
        return (self.found[1] - self.mistakes[1]) - (self.found[0] - self.mistakes[0])

    @property
    def is_changed(self) -> bool:
        """Whether either number differs."""
        return self.found[0] != self.found[1] or self.mistakes[0] != self.mistakes[1]


@dataclass(frozen=True, slots=True, eq=False)
class Survey:
    """A source's images, as far as they were looked at."""

    steps: list[Step]
    start: int
    """The step with a box for each face; with five an image where no face is known."""
    lines: list[Line]
    """In the order of rows."""
    images: Mapping[int, JudgedImage]
    """Those looked at, by row, so that what is shown of one need not be read again."""


def survey(images: SourceImages, rows: Sequence[int]) -> Survey:
    """Look at the images of `rows`, or MAX_SURVEYED of them; images without candidates are passed over.

    Raises DamagedBlockError.
    """
    judged = list(images.judged_each(spread_evenly(rows, MAX_SURVEYED)))
    steps = slider_steps(judged, is_labelled=images.faces.is_labelled)
    start = min(_START, len(steps) - 1)
    lines = [line(image, steps[start]) for image in judged]
    return Survey(steps, start, lines, {image.row: image for image in judged})


def spread_evenly(rows: Sequence[int], most: int) -> list[int]:
    """At most `most` of the rows, first to last, evenly spread."""
    if len(rows) <= most:
        return list(rows)
    return [rows[i * len(rows) // most] for i in range(most)]


def slider_steps(images: Sequence[JudgedImage], *, is_labelled: bool) -> list[Step]:
    """Thresholds for growing numbers of boxes in the whole split, until both sides show all; at least one step."""
    unit = sum(int(image.faces.is_kept.sum()) for image in images) if is_labelled else len(images)
    shares = _SHARES if is_labelled else [_BOXES_AN_IMAGE * share for share in _SHARES]
    before = _descending([image.before for image in images])
    after = _descending([image.after for image in images])
    steps: list[Step] = []
    for share in shares:
        number = max(1, round(share * unit))
        steps.append(Step(share, _lowest_of(before, number), _lowest_of(after, number)))
        if len(steps) > _START and number >= max(len(before), len(after)):
            break
    return steps


def line(image: JudgedImage, step: Step) -> Line:
    """An image at one position of the slider."""
    sides, thresholds = (image.before, image.after), (step.before, step.after)
    shown = [
        side.outcome[side.scores >= threshold] for side, threshold in zip(sides, thresholds, strict=True)
    ]
    missed = [
        image.faces.is_kept & ~(side.face_score >= threshold)  # a comparison with NaN is false
        for side, threshold in zip(sides, thresholds, strict=True)
        if len(image.faces.boxes)
    ]
    happened = [
        any((faces & image.is_reachable).any() for faces in missed),
        any((faces & ~image.is_reachable).any() for faces in missed),
        *(any((outcome == kind).any() for outcome in shown) for kind in _MISTAKES),
    ]
    found = [int((outcome == DetectionOutcome.FINDS).sum()) for outcome in shown]
    mistakes = [int(np.isin(outcome, _MISTAKES).sum()) for outcome in shown]
    return Line(
        row=image.row,
        num_faces=int(image.faces.is_kept.sum()),
        found=(found[0], found[1]),
        mistakes=(mistakes[0], mistakes[1]),
        failures=sum(1 << bit for bit, is_so in enumerate(happened) if is_so),
        sizes=_sizes(image.faces.boxes[image.faces.is_kept]),
    )


def _sizes(faces: Float64[np.ndarray, "face 4"]) -> int:
    heights = faces[:, 3] - faces[:, 1]
    return sum(
        1 << bit
        for bit, (low, high) in enumerate(pairwise(_HEIGHT_EDGES_PX))
        if ((heights > low) & (heights <= high)).any()
    )


def _descending(sides: Sequence[Side]) -> Float64[np.ndarray, " box"]:
    """The scores of all boxes that a threshold decides about; those on ignored faces count for nothing."""
    counting = [side.scores[~np.isin(side.outcome, (ABSENT, DetectionOutcome.IGNORED))] for side in sides]
    return -np.sort(-np.concatenate([np.zeros(0), *counting]))


def _lowest_of(scores: Float64[np.ndarray, " box"], number: int) -> float:
    return float(scores[min(number, len(scores)) - 1]) if len(scores) else 0.0
