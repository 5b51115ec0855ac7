"""Whether a ranker helps on held-out pictures, in which state, and with how much of its refinement."""

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import numpy as np
import torch
from jaxtyping import Float, Float32

from crface.evaluation.bootstrap import resample
from crface.evaluation.curves import average_precision, official_curve
from crface.evaluation.matching import score_range
from crface.ranker.gate import UNCALIBRATED, Gate, fitted_calibration
from pipeline.train.choice import Choice
from pipeline.train.looks import Look, Seen, scores_of

if TYPE_CHECKING:
    from crface.array_shapes import FaceMask

SHARES: Final = (0.25, 0.5, 0.75, 1.0)
"""Shares of the refinement that are tried."""

_RESAMPLES = 500
_LEVEL = 0.95
_MOST_LOST = 0.1  # of the gain


def quality(look: Look, share: float) -> float:
    """The mean of official AP over easy, medium and hard by face height, and over the detectors; 0 without a face."""
    values = [
        average_precision(official_curve(seen.hits, mask))
        for seen in look.seen[share]
        for mask in look.kept.values()
        if mask.any()
    ]
    return float(np.mean(values)) if values else 0.0


def best_share(look: Look) -> tuple[float, float]:
    """The share above 0 of the highest quality (the smallest of equals), and that quality."""
    found = {share: quality(look, share) for share in sorted(look.seen) if share > 0}
    share = max(found, key=lambda share: found[share])
    return share, found[share]


def choose(looks: Mapping[int, Look]) -> Choice:
    """State and share, from looks at several states, by their steps.

    The state is that of the best pair of state and share. Of its shares, those count whose gain over the detector is
    told from chance by a paired bootstrap over pictures; of these, the smallest than which none is told to be better.
    If none counts, the share is 0. The interval is slightly too narrow, since the best of several states was taken.
    """
    best = {step: best_share(look) for step, look in looks.items()}
    step = max(best, key=lambda step: best[step][1])
    look, (top, _) = looks[step], best[step]
    draws = {share: _draws(look.seen[share], look.kept) for share in look.seen}
    gains = {share: _interval(draws[share] - draws[0.0]) for share in draws if share > 0}
    helpful = [share for share in sorted(gains) if gains[share][0] > 0]
    # not against the best alone: the further two shares lie apart, the less is told of their difference, and one that
    # the next larger share is told to be better than would pass
    chosen = next(
        (
            share
            for share in helpful
            if all(_interval(draws[other] - draws[share])[0] <= 0 for other in helpful)
        ),
        0.0,
    )
    shown = chosen or top
    return Choice(
        step=step,
        share=chosen,
        predicted=quality(look, 0.0),
        ranked=quality(look, shown),
        low=gains[shown][0],
        high=gains[shown][1],
        num_images=len(look.seen[0.0][0].hits.num_detections),
        calibration=_calibration(look, chosen) if chosen else UNCALIBRATED,
    )


def _calibration(look: Look, share: float) -> tuple[float, float, float]:
    """The calibration of a share's confidences; none where it would cost more than a tenth of the gain.

    Official AP has thresholds evenly spaced over the range of scores. A map that crowds scores at its ends keeps their
    order, and exact AP, but leaves too few thresholds between them.
    """
    calibration = fitted_calibration(*scores_of(look.seen[share]))
    gate = Gate(1.0, calibration)

    def mapped(scores: Float32[np.ndarray, " detection"]) -> Float32[np.ndarray, " detection"]:
        doubled = torch.from_numpy(scores.astype(np.float64))
        calibrated: np.ndarray = gate(doubled, doubled).numpy().astype(np.float32)
        return calibrated

    seen = []
    for one in look.seen[share]:
        scores = mapped(one.hits.scores)
        hits = replace(
            one.hits,
            scores=scores,
            ascending_scores=mapped(one.hits.ascending_scores),
            score_range=score_range(scores),
        )
        seen.append(Seen(hits, one.is_right))
    ranked = quality(look, share)
    lost = ranked - quality(Look({share: tuple(seen)}, look.kept), share)
    return calibration if lost <= _MOST_LOST * (ranked - quality(look, 0.0)) else UNCALIBRATED


def _draws(detectors: tuple[Seen, ...], kept: Mapping[str, "FaceMask"]) -> Float[np.ndarray, " resample"]:
    masks = {setting: mask for setting, mask in kept.items() if mask.any()}
    found = [values for seen in detectors for values in resample(seen.hits, masks, _RESAMPLES).ap.values()]
    with np.errstate(invalid="ignore"):
        mean: np.ndarray = np.nanmean(found, axis=0) if found else np.zeros(_RESAMPLES)
    return mean


def _interval(gains: Float[np.ndarray, " resample"]) -> tuple[float, float]:
    gains = gains[~np.isnan(gains)]
    if not len(gains):
        return 0.0, 0.0
    tail = (1 - _LEVEL) / 2
    low, high = np.quantile(gains, [tail, 1 - tail])
    return float(low), float(high)
