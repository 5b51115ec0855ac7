"""The numbers of a source as rows of the results' tables."""

from collections.abc import Iterator, Mapping
from typing import Any, get_args

from crface.evaluation import Evaluation
from crface.evaluation.bootstrap import Resampled
from crface.evaluation.calibration import Reliability
from crface.evaluation.curves import best_threshold
from pipeline.config.sections import EvaluateConfig
from pipeline.evaluate.block import FAILING_SETTING
from pipeline.evaluate.detections import ORACLE_ALL, PREDICTED, Variant
from pipeline.evaluate.numbers import Numbers
from pipeline.evaluate.sources import Source
from pipeline.ground_truth.face_groups import ALL, EVERY_FACE, HEIGHTS, definition
from pipeline.ground_truth.truth import SETTINGS, GroundTruth
from pipeline.results.ap import ApRow, CurveRow, Kind
from pipeline.results.findings import CalibrationRow, FailureRow, Target

_NAN = float("nan")


def ap_rows(source: Source, numbers: Numbers, truth: GroundTruth, config: EvaluateConfig) -> Iterator[ApRow]:
    """AP in every setting: easy, medium and hard first, then all faces, then the bins of heights."""
    for variant, evaluation in numbers.evaluations.items():
        for kind in get_args(Kind):
            for setting in (*SETTINGS, ALL, *HEIGHTS):
                predicted, oracle = (
                    _ap(numbers.evaluations[other], kind, setting) for other in (PREDICTED, ORACLE_ALL)
                )
                ap = _ap(evaluation, kind, setting)
                is_ranked = variant.confidence == "ranked"
                ap_low, ap_high = _interval(numbers.resampled, variant, kind, setting)
                gain_low, gain_high = _interval(numbers.gains, variant, kind, setting)
                yield ApRow(
                    **_origin(source, variant, truth, config),
                    setting=setting,
                    definition=definition(truth, setting),
                    kind=kind,
                    ap=ap,
                    ap_low=ap_low,
                    ap_high=ap_high,
                    gain=_NAN if variant == PREDICTED else ap - predicted,
                    gain_low=gain_low,
                    gain_high=gain_high,
                    recovered=recovered_share(predicted, ap, oracle) if is_ranked else _NAN,
                    images=evaluation.num_images,
                    faces=evaluation.num_faces[setting],
                )


def curve_rows(
    source: Source, numbers: Numbers, truth: GroundTruth, config: EvaluateConfig
) -> Iterator[CurveRow]:
    """The precision-recall curves of easy, medium, hard and all faces."""
    for variant, evaluation in numbers.evaluations.items():
        for kind in get_args(Kind):
            curves = evaluation.curves if kind == "official" else evaluation.exact_curves
            for setting in (*SETTINGS, ALL):
                curve = curves[setting]
                yield CurveRow(
                    **_origin(source, variant, truth, config),
                    setting=setting,
                    definition=definition(truth, setting),
                    kind=kind,
                    precision=curve.precision,
                    recall=curve.recall,
                    thresholds=curve.thresholds,
                )


def failure_rows(
    source: Source, numbers: Numbers, truth: GroundTruth, config: EvaluateConfig
) -> Iterator[FailureRow]:
    """What failed at the official threshold with the best F1, for every group of faces that has one."""
    for variant, failures in numbers.failures.items():
        curve = numbers.evaluations[variant].curves[FAILING_SETTING]
        place = best_threshold(curve)
        detections = failures.detections_at(place)
        for (group, value), faces in failures.faces_at(place).items():
            if not faces.num_faces and (group, value) != EVERY_FACE:
                continue
            mistakes = {
                "detections": detections.num_finding + detections.num_false_positives,
                "duplicates": detections.num_duplicates,
                "misplaced": detections.num_misplaced,
                "background": detections.num_background,
            }
            yield FailureRow(
                **_origin(source, variant, truth, config),
                setting=FAILING_SETTING,
                definition=truth.definition,
                kind="official",
                threshold=_NAN if place is None else float(curve.thresholds[place]),
                precision=_NAN if place is None else float(curve.precision[place]),
                recall=_NAN if place is None else float(curve.recall[place]),
                group=group,
                value=value,
                faces=faces.num_faces,
                found=faces.num_found,
                fixable=faces.num_fixable,
                unreachable=faces.num_unreachable,
                **(mistakes if (group, value) == EVERY_FACE else dict.fromkeys(mistakes)),
            )


def calibration_rows(
    source: Source, numbers: Numbers, truth: GroundTruth, config: EvaluateConfig
) -> Iterator[CalibrationRow]:
    """The reliability diagrams, with the rank correlations beside them."""
    for variant, found in numbers.calibration.items():
        diagrams: dict[Target, Reliability] = {"hit": found.hit, "overlap": found.overlap}
        for target, diagram in diagrams.items():
            yield CalibrationRow(
                **_origin(source, variant, truth, config),
                target=target,
                boxes=int(diagram.count.sum()),
                expected_error=diagram.expected_error,
                largest_error=diagram.largest_error,
                kendall=found.mean_kendall,
                spearman=found.mean_spearman,
                ordered_images=found.num_images,
                edges=diagram.edges,
                count=diagram.count,
                mean_confidence=diagram.mean_confidence,
                mean_target=diagram.mean_target,
            )


def recovered_share(predicted: float, ranked: float, oracle: float) -> float:
    """The share of the gap between predicted and oracle AP that ranking closed; NaN where there is none.

    1 for all of it, negative where ranking made AP worse.
    """
    return (ranked - predicted) / (oracle - predicted) if oracle > predicted else _NAN


def _ap(evaluation: Evaluation, kind: Kind, setting: str) -> float:
    return (evaluation.ap if kind == "official" else evaluation.exact_ap)[setting]


def _interval(
    resampled: Mapping[Variant, Resampled], variant: Variant, kind: Kind, setting: str
) -> tuple[float, float]:
    if variant not in resampled or setting not in resampled[variant].ap:
        return _NAN, _NAN
    interval = resampled[variant].interval(setting, kind)
    return interval.low, interval.high


def _origin(source: Source, variant: Variant, truth: GroundTruth, config: EvaluateConfig) -> dict[str, Any]:
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
        "ground_truth": truth.sha256,
        "iou": config.iou,
        "nms_iou": config.nms_iou,
        "score_threshold": config.score_threshold,
    }
