"""The numbers of one source, from the records or the sums of its images."""

from collections.abc import Mapping
from dataclasses import dataclass

from crface.evaluation import Evaluation
from crface.evaluation.bootstrap import Resampled, difference, resample
from crface.evaluation.calibration import CalibrationTally
from crface.evaluation.failure_tally import FailureTally
from crface.evaluation.widerface import evaluation_of
from pipeline.evaluate.block import Records, Sums, failure_tallies
from pipeline.evaluate.detections import PREDICTED, Variant
from pipeline.ground_truth.truth import SETTINGS

_SEED = 0  # of the images that resamples draw: the same for all sources, so that these can be compared


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Numbers:
    """All numbers of one source, per confidence."""

    evaluations: Mapping[Variant, Evaluation]
    failures: Mapping[Variant, FailureTally]
    calibration: Mapping[Variant, CalibrationTally]
    resampled: Mapping[Variant, Resampled]
    """AP of resamples in SETTINGS; empty without resamples."""
    gains: Mapping[Variant, Resampled]
    """AP minus that of the predicted confidence, resample by resample."""
    exact_bounds: float
    """How far exact AP may be below the truth, 0..1; 0 unless close scores were merged."""


def numbers_of_records(records: Records, num_resamples: int) -> Numbers:
    """All numbers; those of resamples for the confidences that the threshold applies to."""
    hits = records.hits
    official = {setting: records.kept[setting] for setting in SETTINGS}
    resampled = {
        variant: resample(found, official, num_resamples, _SEED)
        for variant, found in hits.items()
        if num_resamples and not variant.is_all
    }
    return Numbers(
        evaluations={variant: evaluation_of(found, records.kept) for variant, found in hits.items()},
        failures=failure_tallies(records, {variant: found.score_range for variant, found in hits.items()}),
        calibration=records.calibration,
        resampled=resampled,
        gains={
            variant: difference(found, resampled[PREDICTED])
            for variant, found in resampled.items()
            if variant != PREDICTED
        },
        exact_bounds=0.0,
    )


def numbers_of_sums(sums: Sums) -> Numbers:
    """All numbers but the intervals, which need the single images."""
    bounds = [
        bound
        for tally in sums.tallies.values()
        for bound in tally.exact_ap_bounds().values()
        if bound[0] == bound[0]  # not those of a setting without faces
    ]
    return Numbers(
        evaluations={variant: tally.evaluation() for variant, tally in sums.tallies.items()},
        failures=sums.failures,
        calibration=sums.calibration,
        resampled={},
        gains={},
        exact_bounds=max((high - low for low, high in bounds), default=0.0),
    )
