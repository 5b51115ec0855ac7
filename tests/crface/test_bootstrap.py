"""The paired bootstrap: by hand, against resamples that are really evaluated, and what pairs are good for."""

import dataclasses

import numpy as np
import pytest
from detection_sets import RandomSet, random_set, rows

from crface.evaluation import average_precision, exact_curve, match, official_curve
from crface.evaluation.bootstrap import Resampled, difference, drawn_images, resample

A = (0.0, 0.0, 10.0, 10.0)
NOWHERE = (500.0, 500.0, 510.0, 510.0)


def of(data: RandomSet, **options: int) -> Resampled:
    kept = {setting: np.concatenate(masks) for setting, masks in data.kept.items()}
    return resample(match(data.detections, data.faces), kept, **options)


def test_two_images_by_hand() -> None:
    # one image whose face is found, one whose face is not: AP is the share of draws of the first
    hits = match([rows((*A, 0.9)), rows((*NOWHERE, 0.1))], [rows(A, width=4)] * 2)
    found = resample(hits, {"all": np.ones(2, bool)}, num_resamples=50, seed=1)
    share = [(draw == 0).mean() for draw in drawn_images(2, 50, seed=1)]
    assert set(share) == {0.0, 0.5, 1.0}
    assert found.ap["all"].tolist() == found.exact_ap["all"].tolist() == share


@pytest.mark.parametrize("seed", range(5))
def test_ap_of_a_resample_is_that_of_its_images_evaluated_one_by_one(seed: int) -> None:
    data = random_set(seed, num_images=8)
    score_range = match(data.detections, data.faces).score_range
    found = of(data, num_resamples=12, seed=seed, num_thresholds=50)
    for number, draw in enumerate(drawn_images(8, 12, seed)):
        hits = match([data.detections[i] for i in draw], [data.faces[i] for i in draw])
        hits = dataclasses.replace(hits, score_range=score_range)
        for setting, masks in data.kept.items():
            mask = np.concatenate([masks[i] for i in draw])
            if not mask.any():
                assert np.isnan(found.ap[setting][number])
                continue
            official = average_precision(official_curve(hits, mask, 50))
            exact = average_precision(exact_curve(hits, mask))
            assert found.ap[setting][number] == pytest.approx(official, abs=1e-12)
            assert found.exact_ap[setting][number] == pytest.approx(exact, abs=1e-12)


def test_the_number_of_resamples_held_at_a_time_changes_nothing_and_the_seed_decides() -> None:
    data = random_set(0)
    many, few = of(data, num_resamples=70, seed=3), of(data, num_resamples=5, seed=3)
    assert many.ap["all"][:5].tolist() == few.ap["all"].tolist()
    assert of(data, num_resamples=5, seed=4).ap["all"].tolist() != few.ap["all"].tolist()


def test_an_interval_leaves_out_the_same_share_on_both_sides() -> None:
    values = {"all": np.append(np.linspace(0, 1, 101), np.nan)}
    resampled = Resampled(ap=values, exact_ap=values, num_images=1, seed=0)
    interval = resampled.interval("all")
    assert (interval.low, interval.high) == (pytest.approx(0.025), pytest.approx(0.975))
    assert resampled.interval("all", kind="exact", level=1.0).low == 0


def test_a_small_gain_on_every_image_is_told_from_chance_only_in_pairs() -> None:
    # in every image one of two faces is found at low precision; the better set loses a mistake in each
    generator = np.random.default_rng(0)
    worse, better, faces = [], [], []
    for _ in range(60):
        found = rows((*A, 0.5)) if generator.random() < 0.5 else rows()
        worse.append(np.concatenate([found, rows((*NOWHERE, 0.9), (*NOWHERE, 0.8))]))
        better.append(np.concatenate([found, rows((*NOWHERE, 0.9))]))
        faces.append(rows(A, width=4))
    kept = {"all": np.ones(60, bool)}
    first, second = (resample(match(images, faces), kept, 200) for images in (better, worse))
    assert first.interval("all").low < second.interval("all").high
    gain = difference(first, second).interval("all")
    assert gain.low > 0


def test_resamples_of_other_draws_are_not_compared() -> None:
    data = random_set(0)
    with pytest.raises(ValueError, match="only resamples of the same draws"):
        difference(of(data, num_resamples=3, seed=0), of(data, num_resamples=3, seed=1))


def test_without_images_there_is_no_interval() -> None:
    found = resample(match([], []), {"all": np.zeros(0, bool)}, num_resamples=3)
    assert np.isnan([found.interval("all").low, found.interval("all").high]).all()
