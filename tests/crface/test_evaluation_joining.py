"""Hits, failures and reliability of blocks come to those of the whole."""

import dataclasses
from functools import reduce
from itertools import pairwise

import numpy as np
import pytest
from detection_sets import data_sets
from failure_counts import count_detections, count_faces
from hypothesis import given, settings
from hypothesis import strategies as st

from crface.evaluation import best_f1, match, official_curve
from crface.evaluation.calibration import reliability
from crface.evaluation.curves import best_threshold
from crface.evaluation.failure_tally import tally_failures
from crface.evaluation.failures import find_failures
from crface.evaluation.joining import joined_hits
from crface.evaluation.tally import score_extremes


@given(data_sets(), st.integers(0, 4))
@settings(max_examples=40, deadline=None)
def test_joined_hits_of_parts_are_the_hits_of_the_whole(data, cut: int) -> None:
    detections, faces, _ = data
    whole = match(detections, faces)
    parts = [match(detections[:cut], faces[:cut]), match(detections[cut:], faces[cut:])]
    joined = joined_hits(parts)
    for field in dataclasses.fields(whole):
        assert np.array_equal(getattr(joined, field.name), getattr(whole, field.name)), field.name


@given(data_sets(), st.integers(0, 4))
@settings(max_examples=40, deadline=None)
def test_failures_read_from_sums_are_those_found_at_the_threshold(data, cut: int) -> None:
    detections, faces, kept = data
    extremes = score_extremes(detections)

    def tally(images: slice):
        part = (detections[images], detections[images], faces[images], kept[images])
        found = find_failures(*part, -np.inf)
        groups = {("all", "all"): np.ones(len(found.face_outcome), bool)}
        hits = match(detections[images], faces[images])
        return tally_failures(hits, found.face_outcome, found.detection_outcome, groups, extremes, 20)

    total = tally(slice(None, cut)) + tally(slice(cut, None))
    hits, mask = match(detections, faces), np.concatenate(kept)
    curve = official_curve(hits, mask, 20)
    place = best_threshold(curve)
    assert (place is None) == (best_f1(curve).f1 == 0)
    if place is None:
        assert total.faces_at(place)["all", "all"].num_found == 0
        return
    assert curve.thresholds[place] == best_f1(curve).threshold
    # from the least score that the tally lets pass: a threshold of its own could round to the other side
    passed = np.concatenate([image[:, 4] for image in detections])
    stretched = (passed - extremes[0]) / max(extremes[1] - extremes[0], 1e-300)
    threshold = passed[stretched >= 1 - (place + 1) / 20].min() if extremes[0] < extremes[1] else -np.inf
    expected = find_failures(detections, detections, faces, kept, float(threshold))
    assert total.faces_at(place)["all", "all"] == count_faces(expected)
    assert total.detections_at(place) == count_detections(expected)


def test_reliability_of_parts_adds_to_that_of_the_whole() -> None:
    generator = np.random.default_rng(0)
    confidence, target = generator.random(200), generator.random(200)
    cuts = [0, 1, 1, 90, 200]
    parts = [reliability(confidence[a:b], target[a:b]) for a, b in pairwise(cuts)]
    total, whole = reduce(lambda one, other: one + other, parts), reliability(confidence, target)
    assert total.count.tolist() == whole.count.tolist()
    assert total.expected_error == pytest.approx(whole.expected_error, abs=1e-12)
    assert total.mean_target == pytest.approx(whole.mean_target, abs=1e-12)
    with pytest.raises(ValueError, match="other bins"):
        total + reliability(confidence, target, num_bins=5)
