"""Where a ranker is at home: what pictures are described by, how far sets of them are, and what that costs in trust."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from crface import ranker
from crface.ranker.describing import FEATURES, LEAST_CONFIDENCE, SIDE_PX, describe
from crface.ranker.home import (
    MIN_PICTURES,
    STRANGE_DISTANCE,
    USUAL_DISTANCE,
    Home,
    fitted_home,
    trust_at,
    trust_in,
)

NAMES = list(FEATURES)
BOXES = np.array(
    [[10, 10, 30, 30, 0.9], [40, 20, 48, 36, 0.6], [5, 40, 9, 44, 0.1], [0, 0, 2, 2, 0.01]], np.float32
)


def picture(height: int = 60, width: int = 80, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def feature(name: str, image: np.ndarray, candidates: np.ndarray = BOXES) -> float:
    return float(describe(image, candidates)[NAMES.index(name)])


def kind(seed: int, shift: float = 0.0, count: int = 60) -> np.ndarray:
    """Descriptions that scatter by 1 in each number, around `shift` in the first."""
    found = np.random.default_rng(seed).normal(0, 1, (count, len(FEATURES)))
    found[:, 0] += shift
    return found.astype(np.float32)


def home(*parts: np.ndarray) -> Home:
    """The home of one detector with a folder for each part."""
    folders = [str(number) for number, part in enumerate(parts) for _ in part]
    made = fitted_home(np.concatenate(parts)[None], folders)
    assert made is not None
    return made


def test_a_description_can_be_redone_by_hand() -> None:
    image = np.zeros((SIDE_PX // 2, SIDE_PX, 3), np.uint8)
    image[:] = (255, 0, 0)
    found = dict(zip(FEATURES, describe(image, BOXES[:2]).tolist(), strict=True))
    assert found["brightness"] == pytest.approx(0.299)
    assert found["contrast"] == pytest.approx(0, abs=1e-6)
    assert found["redness"] == pytest.approx(1 - 0.299)
    assert found["blueness"] == pytest.approx(-0.299)
    assert found["log roughness"] == pytest.approx(np.log(1e-3), abs=1e-3)
    assert found["log aspect"] == pytest.approx(np.log(2))
    assert found["log candidates"] == pytest.approx(np.log(3))
    assert found["log faces expected"] == pytest.approx(np.log(2.5))
    assert found["log confident candidates"] == pytest.approx(np.log(3))
    larger, smaller = np.log(20), np.log(np.sqrt(8 * 16))
    assert found["log face size"] == pytest.approx(0.6 * larger + 0.4 * smaller)
    assert found["log box aspect"] == pytest.approx(0.4 * np.log(0.5))
    assert found["mean confidence"] == pytest.approx(0.75)
    assert found["mean confidence, weighted by itself"] == pytest.approx((0.81 + 0.36) / 1.5)


@given(st.integers(0, 30), st.integers(0, 5))
def test_descriptions_do_not_depend_on_the_tail_of_candidates(count: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    tail = random.uniform(0, 60, (count, 5)).astype(np.float32)
    tail[:, 4] = random.uniform(0, LEAST_CONFIDENCE, count)
    assert np.array_equal(describe(picture(), np.concatenate([BOXES, tail])), describe(picture(), BOXES))


@given(st.permutations(range(len(BOXES))))
def test_descriptions_do_not_depend_on_the_order_of_candidates(order: list[int]) -> None:
    np.testing.assert_allclose(describe(picture(), BOXES[order]), describe(picture(), BOXES), rtol=1e-6)


def test_the_same_scene_in_twice_the_pixels_is_the_same_picture() -> None:
    image = picture(300, 400)
    larger = image.repeat(4, axis=0).repeat(4, axis=1)
    boxes = BOXES * np.array([4, 4, 4, 4, 1], np.float32)
    np.testing.assert_allclose(
        describe(larger, boxes)[-8:], describe(image, BOXES)[-8:], atol=1e-5
    )  # of the candidates
    small = [describe(one, BOXES)[:6] for one in (image, larger)]
    np.testing.assert_allclose(small[0], small[1], atol=0.03)


def test_a_blurred_picture_is_less_sharp_and_a_dark_one_less_bright() -> None:
    import cv2

    image = picture(512, 512)
    assert (
        feature("log sharpness", cv2.GaussianBlur(image, (0, 0), 2)) < feature("log sharpness", image) - 0.5
    )
    assert feature("brightness", image // 2) == pytest.approx(feature("brightness", image) / 2, abs=0.01)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 900), (900, 1), (2, 3), (3000, 20)])
@pytest.mark.parametrize("boxes", [BOXES, BOXES[:0], BOXES[-1:], np.zeros((3, 5), np.float32)])
def test_any_picture_with_any_candidates_has_a_finite_description(
    height: int, width: int, boxes: np.ndarray
) -> None:
    found = describe(np.full((height, width, 3), 7, np.uint8), boxes)
    assert found.shape == (len(FEATURES),)
    assert np.isfinite(found).all()


def test_boxes_without_area_or_turned_over_have_a_finite_description() -> None:
    odd = np.array([[5, 5, 5, 5, 0.9], [9, 9, 2, 2, 0.5], [-1e6, -1e6, 1e6, 1e6, 0.4]], np.float32)
    assert np.isfinite(describe(picture(), odd)).all()


def test_a_set_of_the_kind_trained_on_is_at_home_and_another_is_as_far_as_it_is_apart() -> None:
    made = home(kind(0, count=500))
    assert made.distance(kind(1)) < 0.4
    assert made.distance(kind(2, shift=3.0, count=500)) == pytest.approx(3.0, abs=0.2)
    assert made.distance(kind(2, shift=-3.0, count=500)) == pytest.approx(3.0, abs=0.2)


def test_any_mixture_of_folders_trained_on_is_at_home_and_what_lies_beyond_is_not() -> None:
    made = home(kind(0, shift=-5.0), kind(1, shift=5.0))
    assert made.distance(kind(2, shift=-5.0)) < 0.4
    assert made.distance(np.concatenate([kind(3, shift=-5.0, count=10), kind(4, shift=5.0, count=40)])) < 0.4
    assert made.distance(kind(5, shift=8.0)) > 2


def test_a_folder_of_a_few_pictures_makes_no_centre_of_its_own() -> None:
    crowd, few = kind(0, count=100), kind(1, shift=9.0, count=MIN_PICTURES - 1)
    made = home(crowd, few)
    assert made.num_pictures.tolist() == [100]
    assert made.distance(kind(2, shift=9.0)) > 5


def test_each_detector_has_a_home_of_its_own_and_no_mixture_of_detectors_is_one() -> None:
    made = fitted_home(np.stack([kind(0, shift=-5.0), kind(1, shift=5.0)]), ["one"] * 60)
    assert made is not None
    assert made.distance(kind(2, shift=-5.0)) < 0.4
    assert made.distance(kind(3, shift=5.0)) < 0.4
    assert made.distance(kind(4)) > 3


def test_pictures_that_were_all_equal_in_training_need_not_be_so_to_the_last_digit() -> None:
    equal = np.zeros((20, len(FEATURES)), np.float32)
    slightly = equal + np.float32(0.1) * np.array(list(FEATURES.values()), np.float32)
    assert trust_at(home(equal).distance(slightly)) == 1
    assert trust_at(home(equal).distance(100 * slightly)) == 0


def test_fewer_than_eight_pictures_make_no_home_and_cost_no_trust() -> None:
    assert fitted_home(kind(0, count=MIN_PICTURES - 1)[None], ["one"] * (MIN_PICTURES - 1)) is None
    made, far = home(kind(0)), list(kind(1, shift=99.0, count=MIN_PICTURES))
    assert trust_in(made, far)[1] == 0
    assert trust_in(made, far[1:]) == (0.0, 1.0)
    assert trust_in(made, []) == (0.0, 1.0)


def test_trust_falls_from_full_to_none_in_quarters() -> None:
    assert [trust_at(distance) for distance in (0.0, USUAL_DISTANCE)] == [1, 1]
    assert [trust_at(distance) for distance in (STRANGE_DISTANCE, 99.0)] == [0, 0]
    assert trust_at((USUAL_DISTANCE + STRANGE_DISTANCE) / 2) == 0.5


@given(st.floats(0, 10), st.floats(0, 10))
def test_more_distance_is_never_more_trust(one: float, other: float) -> None:
    assert trust_at(min(one, other)) >= trust_at(max(one, other))
    assert trust_at(one) in (0, 0.25, 0.5, 0.75, 1)


def test_a_saved_ranker_still_knows_where_it_is_at_home(tmp_path: Path) -> None:
    model = ranker.create("small", 12, 64)
    model.home = home(kind(0), kind(1, shift=4.0))
    ranker.save(model, tmp_path / "ranker.safetensors")
    loaded = ranker.load(tmp_path / "ranker.safetensors").home
    assert loaded is not None
    assert loaded.distance(kind(2, shift=9.0)) == model.home.distance(kind(2, shift=9.0))


def test_a_ranker_from_before_is_nowhere_less_at_home(tmp_path: Path) -> None:
    ranker.save(ranker.create("small", 12, 64), tmp_path / "ranker.safetensors")
    assert ranker.load(tmp_path / "ranker.safetensors").home is None


def test_a_home_with_a_part_missing_is_refused_in_words(tmp_path: Path) -> None:
    model = ranker.create("small", 12, 64)
    model.home = home(kind(0))
    del model.home.whitening
    ranker.save(model, tmp_path / "ranker.safetensors")
    with pytest.raises(ValueError, match="does not hold a ranker of this version"):
        ranker.load(tmp_path / "ranker.safetensors")


def test_the_home_takes_no_part_in_refining() -> None:
    torch.manual_seed(0)
    model = ranker.create("small", 12, 64)
    torch.nn.init.normal_(model.confidence[0].linear.bias, std=0.05)
    before = model.refine(picture(), BOXES)
    model.home = home(kind(0))
    assert np.array_equal(model.refine(picture(), BOXES), before)
