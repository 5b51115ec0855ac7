"""WIDER FACE AP of a folder of text results against a ground truth, without a workspace and without images."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from crface.evaluation import Evaluation, widerface_ap
from pipeline.errors import UserError
from pipeline.formats.box_units import as_corners, suspected_units
from pipeline.formats.widerface_text import ResultFiles, count_problems, find_results, read_results
from pipeline.ground_truth.official_val import FACTS, has_events_of_official_val
from pipeline.ground_truth.truth import GroundTruth, find_ground_truth

_NAMED = 10  # images named in an error; the others are only counted

Detections = Float[np.ndarray, "_ 5"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    """A folder of results beside its ground truth, image by image."""

    folder: Path
    truth: GroundTruth
    detections: Sequence[Detections]
    """For each image of the ground truth, `x1 y1 x2 y2 score`, highest score first."""
    missing: tuple[str, ...]
    """Images without a result file, which are scored as images without detections."""
    left_out: Mapping[str, int]
    """What was wrong and is left out, counted by kind; empty unless read leniently."""
    num_unsorted: int
    """Files whose lines were not sorted by score."""

    @property
    def num_detections(self) -> int:
        """Number of detections in all images."""
        return sum(map(len, self.detections))


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """The AP of results, and what a reader must know about it."""

    results: Results
    iou: float
    is_spread: bool
    """Whether the scores were replaced by their ranks before the official AP was taken."""
    evaluation: Evaluation

    @property
    def notes(self) -> list[str]:
        """Sentences on what the figures depend on; empty if they need none."""
        return _notes(self)


def open_results(
    folder: Path,
    ground_truth: Path,
    split: str = "val",
    *,
    is_lenient: bool = False,
    allow_missing: bool = False,
) -> Results:
    """A folder of text results beside the ground truth in another folder.

    Raises UserError when images have no result file, unless `allow_missing`; for mistakes in the files, unless
    lenient; for boxes that are not `x y w h` in pixels; and for a ground truth that is missing or damaged.
    """
    truth = find_ground_truth(ground_truth, split)
    return match_results(
        folder, truth, f"WIDER_{split}/images", is_lenient=is_lenient, allow_missing=allow_missing
    )


def match_results(
    folder: Path,
    truth: GroundTruth,
    image_folder: str = "",
    *,
    is_lenient: bool = False,
    allow_missing: bool = False,
) -> Results:
    """A folder of text results beside a ground truth that was read already; raises as `open_results` does.

    The results may be in folders as deep as the images are, in `image_folder`.
    """
    files = find_results(folder, truth.names, image_folder)
    missing = tuple(name for name in truth.names if name not in files.paths)
    if missing and not allow_missing:
        raise _missing_error(files, missing, len(truth.names))
    read = read_results(files, is_lenient=is_lenient)
    nothing = np.zeros((0, 5))
    rows = [read.detections.get(name, nothing) for name in truth.names]
    units = suspected_units(rows, truth.faces)
    if units is not None:
        raise UserError(
            f"the boxes in {folder} look like {units}, but x y w h in pixels is due (left, top, width, height): "
            "convert them first; as they are, their AP would mean nothing"
        )
    return Results(
        folder=folder,
        truth=truth,
        detections=[np.concatenate([as_corners(image), image[:, 4:]], axis=1) for image in rows],
        missing=missing,
        left_out=count_problems(read.problems),
        num_unsorted=read.num_unsorted,
    )


def score_results(results: Results, iou: float = 0.5, *, is_spread: bool = False) -> Score:
    """The AP of results, official and exact; with `is_spread`, every score is replaced by its rank first."""
    detections = spread_by_rank(results.detections) if is_spread else results.detections
    evaluation = widerface_ap(detections, results.truth.faces, results.truth.kept, iou)
    return Score(results=results, iou=iou, is_spread=is_spread, evaluation=evaluation)


def spread_by_rank(detections: Sequence[Detections]) -> list[Detections]:
    """The detections with their scores replaced by ranks over all images: k/n for the k-th lowest of n different ones.

    Order and ties stay as they are; the thresholds of the official AP then have equal shares of the scores.
    """
    scores = np.concatenate([np.zeros(0), *(image[:, 4] for image in detections)])
    values, rank = np.unique(scores, return_inverse=True)
    spread = (rank + 1) / max(1, len(values))
    stops = np.cumsum([0, *map(len, detections)])
    return [
        np.concatenate([image[:, :4], spread[start:stop, None]], axis=1)
        for image, start, stop in zip(detections, stops[:-1], stops[1:], strict=True)
    ]


def _missing_error(files: ResultFiles, missing: Sequence[str], num_images: int) -> UserError:
    named = ", ".join(missing[:_NAMED])
    more = f" and {len(missing) - _NAMED} more" if len(missing) > _NAMED else ""
    strangers = ""
    if files.problems:
        example = files.problems[0].path.relative_to(files.folder)
        strangers = (
            f" ({len(files.problems)} files there are of no image of the ground truth, such as {example})"
        )
    return UserError(
        f"{len(missing)} of the {num_images} images have no result file in {files.folder}{strangers}: {named}{more}; "
        "an image without detections has a file with the count 0; add the files, or score these images as "
        "without detections with --allow-missing"
    )


def _notes(score: Score) -> list[str]:
    results = score.results
    notes = []
    if score.is_spread:
        notes.append(
            "scores were spread by rank (--spread-scores): the official AP is not that of the files as they are"
        )
    if results.missing:
        notes.append(f"{len(results.missing)} images had no result file and count as without detections")
    if results.left_out:
        counts = ", ".join(f"{count} x {kind}" for kind, count in results.left_out.items())
        notes.append(f"left out as wrong (--lenient): {counts}")
    if results.num_unsorted:
        notes.append(
            f"{results.num_unsorted} files were not sorted by score, and were sorted here; the usual evaluator "
            "does not sort them, and gives a wrong AP"
        )
    boxes = np.concatenate([np.zeros((0, 4)), *(image[:, :4] for image in results.detections)])
    if len(boxes) and (boxes == np.round(boxes)).all():
        notes.append("all boxes are whole numbers: rounding costs AP, most of it on small faces")
    truth = results.truth
    if not truth.is_official_val and has_events_of_official_val(truth.names):
        notes.append(
            f"the ground truth has the events of WIDER FACE's validation set, but {len(truth.names)} images "
            f"instead of {FACTS['images']}: it is a part of that set, or damaged"
        )
    return notes
