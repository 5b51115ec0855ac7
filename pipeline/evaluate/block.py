"""The evaluation of one block of images: what a task reads, and the records or sums that it returns.

*Records* hold 13 bytes per detection, and everything can be computed from them, intervals included. *Sums* have the
same size for any number of images, but need the range of all scores beforehand, which takes a pass of its own.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import repeat
from typing import Final

import numpy as np
import torch
from jaxtyping import Float32, Float64, Int8

from crface.array_shapes import FaceMask, ScoredBoxes
from crface.evaluation.calibration import CalibrationTally, rank_correlation, reliability
from crface.evaluation.failure_tally import FailureTally, Group, tally_failures
from crface.evaluation.failures import find_failures
from crface.evaluation.joining import joined_hits
from crface.evaluation.matching import Hits, match
from crface.evaluation.tally import Tally, joined_extremes, score_extremes, tally
from crface.oracle import oracle_confidence
from pipeline.blocks.plan import Block
from pipeline.blocks.store import CandidateStore, ScoreStore
from pipeline.config.sections import EvaluateConfig
from pipeline.evaluate.detections import ORACLE, PREDICTED, RANKED, Variant, image_detections
from pipeline.evaluate.labels import image_labels
from pipeline.evaluate.spec import EvaluateSpec
from pipeline.ground_truth.face_groups import HEIGHTS, face_groups

FAILING_SETTING: Final = "hard"
"""The setting in which failures are counted, and whose best F1 gives the operating point."""

WITH_FAILURES: Final = (PREDICTED, RANKED, ORACLE)
WITH_CALIBRATION: Final = (PREDICTED, RANKED)

_MAX_SCORES = 1 << 16
"""Different scores in sums: 15 MiB for 14 settings; what it costs exact AP is in docs/decisions/0006."""

Extremes = Mapping[Variant, tuple[float, float]]


@dataclass(frozen=True, slots=True, eq=False)
class BlockExtremes:
    """The range of a block's scores."""

    extremes: Extremes
    num_images: int


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Records:
    """All that the evaluation needs to know about some images."""

    number: int
    """The block's number."""
    hits: dict[Variant, Hits]
    face_outcome: dict[Variant, Int8[np.ndarray, " face"]]
    """What became of each face if every detection counts, for the variants WITH_FAILURES."""
    detection_outcome: dict[Variant, Int8[np.ndarray, " detection"]]
    kept: dict[str, FaceMask]
    """Which faces each setting keeps."""
    groups: dict[Group, FaceMask]
    calibration: dict[Variant, CalibrationTally]
    num_images: int


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Sums:
    """What some images add to the numbers; `a + b` are the sums of both."""

    tallies: dict[Variant, Tally]
    failures: dict[Variant, FailureTally]
    calibration: dict[Variant, CalibrationTally]
    num_images: int

    def __add__(self, other: "Sums") -> "Sums":
        return Sums(
            tallies={key: part + other.tallies[key] for key, part in self.tallies.items()},
            failures={key: part + other.failures[key] for key, part in self.failures.items()},
            calibration={key: part + other.calibration[key] for key, part in self.calibration.items()},
            num_images=self.num_images + other.num_images,
        )


def extremes_block(spec: EvaluateSpec, block: Block) -> BlockExtremes:
    """The range of the scores of a block's detections, per variant.

    Raises UserError as `records_block` does.
    """
    images = list(_images(spec, block.rows))
    variants = images[0].detections
    return BlockExtremes(
        {variant: score_extremes([image.detections[variant] for image in images]) for variant in variants},
        len(images),
    )


def records_block(spec: EvaluateSpec, block: Block) -> Records:
    """The records of a block's images, of which there is at least one.

    Raises UserError when this process sees another index or ground truth than the driver, and when candidates
    or scores are missing or damaged.
    """
    images, iou = list(_images(spec, block.rows)), spec.config.iou
    faces = [image.faces for image in images]
    kept = {setting: np.concatenate([image.kept[setting] for image in images]) for setting in images[0].kept}
    failing = [image.kept[FAILING_SETTING] for image in images]
    candidates = [image.candidates for image in images]
    detections = {
        variant: [image.detections[variant] for image in images] for variant in images[0].detections
    }
    failures = {
        variant: find_failures(candidates, detections[variant], faces, failing, -np.inf, iou)
        for variant in WITH_FAILURES
        if variant in detections
    }
    return Records(
        number=block.number,
        hits={variant: match(rows, faces, iou) for variant, rows in detections.items()},
        face_outcome={variant: found.face_outcome for variant, found in failures.items()},
        detection_outcome={variant: found.detection_outcome for variant, found in failures.items()},
        kept=kept,
        groups=face_groups(
            {name: kept[name] for name in HEIGHTS}, np.concatenate([image.attributes for image in images])
        ),
        calibration={
            variant: reduce(
                CalibrationTally.__add__, (_calibration(image, variant, spec.config) for image in images)
            )
            for variant in WITH_CALIBRATION
            if variant in detections
        },
        num_images=len(images),
    )


def sums_block(spec: EvaluateSpec, block: Block) -> Sums:
    """The sums of a block's images; the spec must hold the extremes.

    Raises UserError as `records_block` does.
    """
    assert spec.extremes is not None
    records = records_block(spec, block)
    return Sums(
        tallies={
            variant: tally(hits, records.kept, spec.extremes[variant], max_scores=_MAX_SCORES)
            for variant, hits in records.hits.items()
        },
        failures=failure_tallies(records, spec.extremes),
        calibration=records.calibration,
        num_images=records.num_images,
    )


def join_records(parts: Sequence[Records]) -> Records:
    """The records of all blocks in one, in the order of the blocks' numbers; there is at least one block."""
    parts = sorted(parts, key=lambda part: part.number)
    first = parts[0]

    def joined(name: str) -> dict:  # type: ignore[type-arg]
        return {
            key: np.concatenate([getattr(part, name)[key] for part in parts]) for key in getattr(first, name)
        }

    return Records(
        number=first.number,
        hits={variant: joined_hits([part.hits[variant] for part in parts]) for variant in first.hits},
        face_outcome=joined("face_outcome"),
        detection_outcome=joined("detection_outcome"),
        kept=joined("kept"),
        groups=joined("groups"),
        calibration={
            variant: reduce(CalibrationTally.__add__, (part.calibration[variant] for part in parts))
            for variant in first.calibration
        },
        num_images=sum(part.num_images for part in parts),
    )


def join_extremes(one: BlockExtremes, other: BlockExtremes) -> BlockExtremes:
    """The range of the scores of both."""
    return BlockExtremes(
        {key: joined_extremes([value, other.extremes[key]]) for key, value in one.extremes.items()},
        one.num_images + other.num_images,
    )


def failure_tallies(records: Records, extremes: Extremes) -> dict[Variant, FailureTally]:
    """The failures among the records, counted at every threshold."""
    return {
        variant: tally_failures(
            records.hits[variant],
            outcome,
            records.detection_outcome[variant],
            records.groups,
            extremes[variant],
        )
        for variant, outcome in records.face_outcome.items()
    }


@dataclass(frozen=True, slots=True, eq=False)
class _Image:
    candidates: Float32[np.ndarray, "candidate 5"]
    refined: Float32[np.ndarray, " candidate"] | None
    detections: dict[Variant, ScoredBoxes]
    faces: Float64[np.ndarray, "face 4"]
    kept: dict[str, FaceMask]
    attributes: Int8[np.ndarray, "face 6"]


def _images(spec: EvaluateSpec, rows: Sequence[int]) -> Iterator[_Image]:
    workspace, source = spec.labels.workspace, spec.source
    store = CandidateStore.open(workspace.candidates(source.key))
    scores = ScoreStore.open(workspace.scores(source.key, source.ranker)) if source.ranker else None
    stored = zip(
        store.read_each(rows), repeat(None) if scores is None else scores.read_each(rows), strict=False
    )
    for labels, (candidates, refined) in zip(image_labels(spec, rows), stored, strict=True):
        detections = image_detections(candidates, refined, labels.faces, spec.config)
        yield _Image(candidates, refined, detections, labels.faces, labels.kept, labels.attributes)


def _calibration(image: _Image, variant: Variant, config: EvaluateConfig) -> CalibrationTally:
    """Reliability of the detections, which users see; order of the candidates, which decides the suppression."""
    detections = image.detections[variant]
    overlaps = _overlaps(detections[:, :4], image.faces)
    confidence = detections[:, 4].astype(np.float64)
    is_above = image.candidates[:, 4] > config.score_threshold
    order = image.candidates[:, 4] if variant == PREDICTED or image.refined is None else image.refined
    correlation = rank_correlation(
        [order[is_above]], [_overlaps(image.candidates[is_above, :4], image.faces)]
    )
    return CalibrationTally(
        hit=reliability(confidence, (overlaps >= config.iou).astype(np.float64)),
        overlap=reliability(confidence, overlaps),
        num_images=correlation.num_images,
        kendall=float(np.nansum(correlation.kendall)),
        spearman=float(np.nansum(correlation.spearman)),
    )


def _overlaps(
    boxes: Float32[np.ndarray, "box 4"], faces: Float64[np.ndarray, "face 4"]
) -> Float64[np.ndarray, " box"]:
    found = oracle_confidence(
        torch.from_numpy(np.ascontiguousarray(boxes)), torch.from_numpy(faces.astype(np.float32))
    )
    # the overlap of equal boxes may be above 1 by the rounding of single precision
    overlaps: np.ndarray = np.minimum(found.numpy().astype(np.float64), 1.0)
    return overlaps
