"""The evaluate stage: AP of predicted, ranked and oracle confidence, from stored candidates and scores."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, get_args

import numpy as np
from jaxtyping import Float64

from crface.evaluation import Evaluation, widerface_ap
from pipeline.blocks import describe, plan_blocks
from pipeline.candidates import open_complete
from pipeline.config import EvaluateConfig
from pipeline.errors import UserError
from pipeline.fingerprint import Parts
from pipeline.ground_truth import (
    SETTINGS,
    GroundTruth,
    Overlap,
    ground_truth_sha256,
    load_ground_truth,
    overlap,
)
from pipeline.index import Index
from pipeline.ledger import Ledger
from pipeline.results import ApRow, CurveRow, Kind, write_results
from pipeline.shards import UNREADABLE
from pipeline.store import CandidateStore, ScoreStore
from pipeline.workspace import CandidateKey, Workspace

if TYPE_CHECKING:
    from pipeline.detections import Variant

EVALUATE_VERSION: Final = 1
"""Raised when this stage, or what it calls, changes in a way that changes its numbers."""

_NAMED = 5  # images named in a note; of more, the number is said


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One detector's candidates to evaluate, with or without the confidences of a ranker."""

    key: CandidateKey
    weights: str
    """The sha256 of the detector's weights."""
    ranker: str = ""
    """The fingerprint of the ranker whose scores are stored for these candidates; empty for none."""
    training: str = ""
    """The fingerprint of that ranker's training in this workspace; empty if it was brought along."""
    input_size: str = "original"
    """At what size the detector saw the images, in words; said beside every AP."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """The numbers of some sources, and what they were measured on."""

    rows: list[ApRow]
    curves: list[CurveRow]
    notes: list[str]
    """Sentences on what the numbers leave out; empty if nothing."""
    truth: GroundTruth
    images: list[tuple[int, int]]
    """Of every image that counts: its row in the index, its place in the ground truth."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluateReport:
    """What was written, for people."""

    rows: list[ApRow]
    notes: list[str]
    """Sentences on what the numbers leave out; empty if nothing."""


def plan_evaluate(
    index: Index, sources: Sequence[Source], config: EvaluateConfig, ground_truth: Path | None = None
) -> Parts:
    """Give all that decides the results, without reading candidates; `results.changes` compares it with them.

    Raises UserError when the split has neither ground truth nor labels, or files of it are missing.
    """
    return {
        "stage": "evaluate",
        "version": EVALUATE_VERSION,
        "split": index.split,
        "images": index.digest,
        "ground truth": ground_truth_sha256(index, ground_truth),
        "evaluate": config.model_dump(),
        "sources": {
            f"{source.key.detector} {source.key.protocol} {source.key.fingerprint}": {
                "weights": source.weights,
                "input size": source.input_size,
                "ranker": source.ranker,
            }
            for source in sources
        },
    }


def evaluate(
    workspace: Workspace,
    index: Index,
    sources: Sequence[Source],
    config: EvaluateConfig,
    ground_truth: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> EvaluateReport:
    """Compute and write the AP of every source, as `measure` gives it.

    Raises UserError as `measure` does, and when the results cannot be written.
    """
    parts = plan_evaluate(index, sources, config, ground_truth)
    found = measure(workspace, index, sources, config, ground_truth, progress)
    write_results(workspace, found.rows, found.curves, found.notes, parts)
    return EvaluateReport(rows=found.rows, notes=found.notes)


def measure(
    workspace: Workspace,
    index: Index,
    sources: Sequence[Source],
    config: EvaluateConfig,
    ground_truth: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Measured:
    """Compute the AP of every source under each of its confidences, in easy, medium and hard; write nothing.

    All sources are evaluated on the same images: those of the index that decode, that the ground truth knows
    and that no source failed to read. `ground_truth` is a folder of official `.mat` files, for when they are
    not in the data set. `progress` is called with images done and images in all, each once a source.

    Raises UserError when candidates or scores are missing or out of date, and when there is nothing to
    evaluate against.
    """
    truth = load_ground_truth(index, ground_truth)
    common = overlap(truth, index)
    stores = [open_source(workspace, source, index) for source in sources]
    unreadable = {row for item in stores for row in item.unreadable}
    pairs = [pair for pair in zip(common.rows, common.images, strict=True) if pair[0] not in unreadable]
    if not pairs:
        raise UserError(f"no image of the split {index.split!r} could be read by every detector")
    faces = [truth.faces[image] for _, image in pairs]
    kept = {setting: [masks[image] for _, image in pairs] for setting, masks in truth.kept.items()}

    table: list[ApRow] = []
    curves: list[CurveRow] = []
    for number, item in enumerate(stores):
        detections: dict[Variant, list[np.ndarray]] = {}
        for done, found in enumerate(_detections(item, [row for row, _ in pairs], faces, config), start=1):
            for variant, rows in found.items():
                detections.setdefault(variant, []).append(rows)
            if progress is not None:
                progress(number * len(pairs) + done, len(stores) * len(pairs))
        evaluations = {
            variant: widerface_ap(images, faces, kept, config.iou) for variant, images in detections.items()
        }
        table += _ap_rows(item.source, evaluations, truth, config)
        curves += _curve_rows(item.source, evaluations, truth, config)
    notes = _notes(index, truth, common, [index.row(row).path for row in common.rows if row in unreadable])
    return Measured(rows=table, curves=curves, notes=notes, truth=truth, images=pairs)


def recovered_share(predicted: float, ranked: float, oracle: float) -> float:
    """Give the share of the gap between predicted and oracle AP that ranking closed; NaN where there is none.

    1 for all of it, negative where ranking made AP worse.
    """
    return (ranked - predicted) / (oracle - predicted) if oracle > predicted else float("nan")


@dataclass(frozen=True, slots=True)
class SourceStores:
    """What is stored of a source."""

    source: Source
    candidates: CandidateStore
    scores: ScoreStore | None
    unreadable: frozenset[int]
    """Rows whose image could not be read when candidates or scores were computed."""


def open_source(workspace: Workspace, source: Source, index: Index) -> SourceStores:
    """Open a source's candidates and, where it has a ranker, its scores.

    Raises UserError when they are missing or out of date.
    """
    candidates = open_complete(workspace, index, source.key)
    scores = _open_scores(workspace, source, index) if source.ranker else None
    unreadable = frozenset(
        row
        for store in (candidates, scores)
        if store is not None
        for row in np.flatnonzero(store.counts() == UNREADABLE).tolist()
    )
    return SourceStores(source, candidates, scores, unreadable)


def _open_scores(workspace: Workspace, source: Source, index: Index) -> ScoreStore:
    store = ScoreStore.open(workspace.scores(source.key, source.ranker))
    missing = plan_blocks(
        index.row_digests,
        Ledger(workspace.scores_ledger(source.key, source.ranker)).read(),
        store.shard_bytes(),
        store.block_images,
        store.num_images,
    )
    if missing:
        raise UserError(
            f"the confidences refined by the ranker {source.ranker} for {source.key.detector} on the "
            f"{source.key.split} split are not complete: {', '.join(describe(missing))}; run `crface rank` first"
        )
    return store


def _detections(
    stores: SourceStores,
    rows: Sequence[int],
    faces: Sequence[Float64[np.ndarray, "_ 4"]],
    config: EvaluateConfig,
) -> Iterator["dict[Variant, np.ndarray]"]:
    from pipeline.detections import image_detections  # with torch, which planning need not wait for

    def one(row: int, image_faces: Float64[np.ndarray, "_ 4"]) -> "dict[Variant, np.ndarray]":
        refined = None if stores.scores is None else stores.scores.read(row)
        return image_detections(stores.candidates.read(row), refined, image_faces, config)

    # one image a thread: torch's own threads cost more than they gain on arrays of this size
    with ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="evaluate") as pool:
        yield from pool.map(one, rows, faces)


def _ap_rows(
    source: Source, evaluations: Mapping["Variant", Evaluation], truth: GroundTruth, config: EvaluateConfig
) -> Iterator[ApRow]:
    by_name = {(variant.confidence, variant.is_all): item for variant, item in evaluations.items()}
    for variant, evaluation in evaluations.items():
        for kind in get_args(Kind):
            for setting in SETTINGS:
                predicted, oracle = (
                    _ap(by_name[name], kind, setting) for name in (("predicted", False), ("oracle", True))
                )
                ap = _ap(evaluation, kind, setting)
                is_ranked = variant.confidence == "ranked"
                yield ApRow(
                    **_conditions(source, variant, truth, config),
                    setting=setting,
                    kind=kind,
                    ap=ap,
                    recovered=recovered_share(predicted, ap, oracle) if is_ranked else float("nan"),
                    images=evaluation.num_images,
                    faces=evaluation.num_faces[setting],
                )


def _curve_rows(
    source: Source, evaluations: Mapping["Variant", Evaluation], truth: GroundTruth, config: EvaluateConfig
) -> Iterator[CurveRow]:
    for variant, evaluation in evaluations.items():
        for kind in get_args(Kind):
            curves = evaluation.curves if kind == "official" else evaluation.exact_curves
            for setting in SETTINGS:
                curve = curves[setting]
                yield CurveRow(
                    **_conditions(source, variant, truth, config),
                    setting=setting,
                    kind=kind,
                    precision=curve.precision,
                    recall=curve.recall,
                    thresholds=curve.thresholds,
                )


def _ap(evaluation: Evaluation, kind: Kind, setting: str) -> float:
    return (evaluation.ap if kind == "official" else evaluation.exact_ap)[setting]


def _conditions(
    source: Source, variant: "Variant", truth: GroundTruth, config: EvaluateConfig
) -> dict[str, Any]:
    return {
        "split": source.key.split,
        "detector": source.key.detector,
        "weights": source.weights,
        "protocol": source.key.protocol,
        "input_size": source.input_size,
        "fingerprint": source.key.fingerprint,
        "confidence": variant.confidence,
        "candidates": variant.candidates(config),
        "ranker": source.ranker if variant.confidence == "ranked" else "",
        "definition": truth.definition,
        "ground_truth": truth.sha256,
        "iou": config.iou,
        "nms_iou": config.nms_iou,
        "score_threshold": config.score_threshold,
    }


def _notes(index: Index, truth: GroundTruth, common: Overlap, unreadable: Sequence[str]) -> list[str]:
    bad = [row.path for row in index.rows(0, len(index)) if row.status in ("missing", "unreadable")]
    notes = []
    if common.num_left_out:
        notes.append(
            f"AP is over {len(common.rows)} of the {len(truth.names)} images of the ground truth; "
            f"not in the index, or not readable: {common.num_left_out}"
        )
    for paths, why in (
        (common.unlisted, "not in the ground truth"),
        (bad, "missing or damaged"),
        (unreadable, "unreadable when candidates were computed"),
    ):
        if paths:
            more = f" and {len(paths) - _NAMED} more" if len(paths) > _NAMED else ""
            number = "1 image" if len(paths) == 1 else f"{len(paths)} images"
            notes.append(f"left out: {number} {why}: {', '.join(paths[:_NAMED])}{more}")
    return notes
