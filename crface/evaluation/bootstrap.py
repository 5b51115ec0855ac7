"""How far AP would move had other images been drawn: a paired bootstrap over images.

A resample draws as many images as there are, with replacement; an image drawn k times counts k times. AP of a
resample needs no new matching: counts per threshold are sums over images, so that all resamples are one
product of a sparse matrix (threshold x image) with the matrix of how often each image is drawn.

The same seed draws the same images. Two sets of detections of the same images are therefore compared pair by
pair (`difference`), and the images that are hard for both cancel out.

Scores are stretched by the range of the *whole* set in each resample: it belongs to the detector's scale, and
redrawn it would hang on whether one single extreme detection happens to be drawn.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import scipy.sparse
from jaxtyping import Float, Int

from crface.array_shapes import FaceMask
from crface.evaluation.curves import stretched, threshold_steps
from crface.evaluation.matching import Hits

_RESAMPLES = 32
"""At work at a time: bounds the memory at some matrices of 8 MiB on WIDER FACE."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """Where most resamples lie; NaN where none has a value."""

    low: float
    high: float
    level: float
    """The share of the resamples between them, in 0..1."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Resampled:
    """AP, or differences of AP, in each resample."""

    ap: Mapping[str, Float[np.ndarray, " resample"]]
    """Official, per setting; NaN in a resample without a face that the setting keeps."""
    exact_ap: Mapping[str, Float[np.ndarray, " resample"]]
    num_images: int
    seed: int

    def interval(
        self, setting: str, kind: Literal["official", "exact"] = "official", level: float = 0.95
    ) -> Interval:
        """The interval between the percentiles that leave out equal shares on both sides."""
        values = (self.ap if kind == "official" else self.exact_ap)[setting]
        values = values[~np.isnan(values)]
        tail = (1 - level) / 2
        low, high = np.quantile(values, [tail, 1 - tail]) if len(values) else (np.nan, np.nan)
        return Interval(low=float(low), high=float(high), level=level)


def resample(
    hits: Hits,
    kept: Mapping[str, FaceMask],
    num_resamples: int = 1000,
    seed: int = 0,
    num_thresholds: int = 1000,
) -> Resampled:
    """AP of each resample in each setting: `match` of all images, and one mask over all of their faces."""
    samplers = {
        (setting, kind): sampler(hits, is_kept)
        for setting, is_kept in kept.items()
        for kind, sampler in (
            ("official", lambda hits, is_kept: _official(hits, is_kept, num_thresholds)),
            ("exact", _exact),
        )
    }
    values: dict[tuple[str, str], list[Float[np.ndarray, " part"]]] = {key: [] for key in samplers}
    for weights in _weights(len(hits.num_faces), num_resamples, seed):
        for key, sampler in samplers.items():
            values[key].append(sampler.ap(weights))
    joined = {key: np.concatenate([np.zeros(0), *parts]) for key, parts in values.items()}
    return Resampled(
        ap={setting: joined[setting, "official"] for setting in kept},
        exact_ap={setting: joined[setting, "exact"] for setting in kept},
        num_images=len(hits.num_faces),
        seed=seed,
    )


def difference(minuend: Resampled, subtrahend: Resampled) -> Resampled:
    """AP of the first minus that of the second, resample by resample, in the settings of the first.

    Raises ValueError if the two are not of the same draws: another seed, or other numbers of images or resamples.
    """
    shapes = [
        (item.num_images, item.seed, {len(values) for values in item.ap.values()})
        for item in (minuend, subtrahend)
    ]
    if shapes[0] != shapes[1]:
        raise ValueError(
            "only resamples of the same draws can be compared, but images, seed and resamples are "
            f"{shapes[0]} and {shapes[1]}"
        )
    return Resampled(
        ap={setting: values - subtrahend.ap[setting] for setting, values in minuend.ap.items()},
        exact_ap={s: values - subtrahend.exact_ap[s] for s, values in minuend.exact_ap.items()},
        num_images=minuend.num_images,
        seed=minuend.seed,
    )


def drawn_images(num_images: int, num_resamples: int, seed: int) -> Iterator[Int[np.ndarray, " draw"]]:
    """The images of each resample, `num_images` of them with replacement; the same for the same arguments."""
    generator = np.random.default_rng(seed)
    for _ in range(num_resamples):
        yield generator.integers(num_images, size=num_images) if num_images else np.zeros(0, dtype=np.int64)


def _weights(num_images: int, num_resamples: int, seed: int) -> Iterator[Float[np.ndarray, "image resample"]]:
    draws = drawn_images(num_images, num_resamples, seed)
    for start in range(0, num_resamples, _RESAMPLES):
        number = min(_RESAMPLES, num_resamples - start)
        counts = [np.bincount(next(draws), minlength=num_images) for _ in range(number)]
        yield np.array(counts, dtype=np.float64).T.copy()


@dataclass(frozen=True, slots=True, eq=False)
class _Sampler:
    """What one curve needs of each image: rows are thresholds, highest first, columns images."""

    proposals: scipy.sparse.csr_array
    """Proposals that pass this threshold first."""
    found: scipy.sparse.csr_array
    num_kept: Float[np.ndarray, " image"]

    def ap(self, weights: Float[np.ndarray, "image resample"]) -> Float[np.ndarray, " resample"]:
        num_kept = self.num_kept @ weights
        more_found = self.found @ weights
        precision = more_found.cumsum(axis=0)
        precision /= np.maximum((self.proposals @ weights).cumsum(axis=0), 1)
        envelope = np.maximum.accumulate(precision[::-1], axis=0)[::-1]
        area = np.einsum("tr,tr->r", more_found, envelope)
        return np.where(num_kept > 0, area / np.maximum(num_kept, 1), np.nan)


def _official(hits: Hits, is_kept: FaceMask, num_thresholds: int) -> _Sampler:
    scores = stretched(hits.scores, hits.score_range)
    return _sampler(hits, is_kept, scores, threshold_steps(num_thresholds)[::-1])


def _exact(hits: Hits, is_kept: FaceMask) -> _Sampler:
    """With the scores of found faces as thresholds: at no other does recall rise."""
    found = hits.scores[hits.finder[is_kept & (hits.finder >= 0)]]
    return _sampler(hits, is_kept, hits.scores, np.unique(found))


def _sampler(
    hits: Hits,
    is_kept: FaceMask,
    scores: Float[np.ndarray, " detection"],
    ascending_thresholds: Float[np.ndarray, " threshold"],
) -> _Sampler:
    image = hits.image
    is_proposal = hits.is_beside_faces & np.append(is_kept, True)[hits.face]  # -1, no face, is the last one
    finders = hits.finder[is_kept & (hits.finder >= 0)]
    num_thresholds = len(ascending_thresholds)

    def table(rows: Int[np.ndarray, " row"]) -> scipy.sparse.csr_array:
        passed = np.searchsorted(ascending_thresholds, scores[rows], side="right")
        rows, passed = rows[passed > 0], passed[passed > 0]
        where = (num_thresholds - passed, image[rows])
        shape = (num_thresholds, len(hits.num_faces))
        return scipy.sparse.coo_array((np.ones(len(rows)), where), shape=shape).tocsr()

    kept_image = hits.face_image[is_kept]
    num_kept = np.bincount(kept_image, minlength=len(hits.num_faces)).astype(np.float64)
    return _Sampler(table(np.flatnonzero(is_proposal)), table(finders), num_kept)
