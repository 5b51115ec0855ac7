"""WIDER FACE AP: cases by hand, a slow literal reading of the protocol, the field's figures."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import scipy.io
from detection_sets import data_sets, random_set, rows
from hypothesis import given, settings
from hypothesis import strategies as st

from crface.evaluation import Evaluation, best_f1, matching, widerface_ap
from crface.evaluation.literal import literal_widerface_ap

Images = Sequence[np.ndarray]


def one_image(detections: np.ndarray, faces: np.ndarray, kept: Sequence[bool] | None = None) -> Evaluation:
    mask = np.ones(len(faces), dtype=bool) if kept is None else np.array(kept, dtype=bool)
    return widerface_ap([detections], [faces], {"all": [mask]})


A, B, C = (0.0, 0.0, 10.0, 10.0), (100.0, 0.0, 110.0, 10.0), (200.0, 0.0, 210.0, 10.0)
NOWHERE = (500.0, 500.0, 510.0, 510.0)


# ---------------------------------------------------------------------------------------------- by hand


def test_a_mistake_between_two_finds_costs_precision_only_from_there_on() -> None:
    found = one_image(rows((*A, 0.9), (*NOWHERE, 0.5), (*B, 0.1)), rows(A, B, width=4))
    # recall 1/2 at precision 1, then 1 at 2/3
    assert found["all"] == pytest.approx(1 / 2 + 1 / 2 * 2 / 3)
    assert found.exact_ap["all"] == pytest.approx(1 / 2 + 1 / 2 * 2 / 3)


def test_precision_is_raised_to_what_a_lower_threshold_reaches() -> None:
    found = one_image(rows((*NOWHERE, 0.9), (*A, 0.5), (*B, 0.1)), rows(A, B, width=4))
    assert found["all"] == pytest.approx(2 / 3)


def test_a_face_that_nothing_finds_bounds_recall() -> None:
    assert one_image(rows((*A, 0.9), (*B, 0.1)), rows(A, B, C, width=4))["all"] == pytest.approx(2 / 3)


def test_a_second_detection_of_the_same_face_is_a_mistake() -> None:
    found = one_image(rows((*A, 0.9), (*A, 0.5), (*B, 0.1)), rows(A, B, width=4))
    assert found["all"] == pytest.approx(1 / 2 + 1 / 2 * 2 / 3)


def test_a_detection_of_an_ignored_face_neither_counts_nor_hurts() -> None:
    faces = rows(A, B, C, width=4)
    with_it = one_image(rows((*A, 0.9), (*B, 0.5), (*C, 0.1)), faces, kept=[True, False, True])
    assert with_it["all"] == 1.0
    assert with_it.exact_ap["all"] == 1.0
    assert with_it.num_faces == {"all": 2}
    missed = one_image(rows((*A, 0.9), (*C, 0.1)), faces, kept=[True, False, True])
    assert missed["all"] == 1.0


def test_a_detection_belongs_to_the_face_it_overlaps_most_though_that_one_be_ignored() -> None:
    nearer, farther = (0.0, 0.0, 20.0, 20.0), (0.0, 0.0, 20.0, 22.0)
    found = one_image(
        rows((*nearer, 0.9), (*NOWHERE, 0.1)), rows(farther, nearer, width=4), kept=[True, False]
    )
    assert found["all"] == 0.0


def test_boxes_are_a_pixel_wider_than_their_coordinates_say() -> None:
    # continuous: 9 / 21 = 0.43. With one pixel more each way 16 / 32, exactly the 0.5 that makes a hit
    detection, face = (0.0, 0.0, 3.0, 3.0, 0.9), (0.0, 0.0, 3.0, 7.0)
    assert one_image(rows(detection), rows(face, width=4))["all"] == 1.0


def test_a_face_of_size_zero_can_be_found() -> None:
    assert one_image(rows((5.0, 5.0, 5.0, 5.0, 0.9)), rows((5.0, 5.0, 5.0, 5.0), width=4))["all"] == 1.0


def test_scores_closer_than_a_thousandth_of_the_range_share_an_official_threshold_but_not_an_exact_one() -> (
    None
):
    detections = rows((*A, 0.50004), (*NOWHERE, 0.50003), (*B, 1.0), (*C, 0.0))
    found = one_image(detections, rows(A, B, C, width=4))
    # official: B at 1, then A and the mistake together at 2/3, then C at 3/4 which lifts the second step too
    assert found["all"] == pytest.approx(1 / 3 + 2 / 3 * 3 / 4)
    assert found.exact_ap["all"] == pytest.approx(2 / 3 + 1 / 3 * 3 / 4)


def test_a_curve_gives_thresholds_in_the_unit_of_the_scores() -> None:
    found = one_image(rows((*A, 30.0), (*NOWHERE, 20.0), (*B, 10.0)), rows(A, B, width=4))
    exact = found.exact_curves["all"]
    assert exact.thresholds.tolist() == [30.0, 10.0]
    assert exact.recall.tolist() == [0.5, 1.0]
    assert exact.precision.tolist() == [1.0, pytest.approx(2 / 3)]
    official = found.curves["all"]
    assert len(official.precision) == len(official.recall) == len(official.thresholds) == 1000
    assert official.thresholds[-1] == 1.0  # the lowest score of a data set never counts as above 1
    at_20 = int(np.argmax(official.thresholds <= 20.0))
    assert (official.precision[at_20], official.recall[at_20]) == (0.5, 0.5)


def test_settings_are_evaluated_side_by_side() -> None:
    faces = [rows(A, B, width=4)]
    kept = {"easy": [np.array([True, False])], "hard": [np.array([True, True])]}
    found = widerface_ap([rows((*A, 0.9), (*NOWHERE, 0.5))], faces, kept)
    assert dict(found) == {"easy": 1.0, "hard": 0.5}
    assert (found.num_images, found.num_faces) == (1, {"easy": 1, "hard": 2})


def test_the_best_f1_is_where_finding_one_more_face_no_longer_pays() -> None:
    found = one_image(rows((*A, 0.9), (*NOWHERE, 0.5), (*B, 0.3), (*NOWHERE, 0.2)), rows(A, B, width=4))
    point = best_f1(found.exact_curves["all"])
    assert (point.threshold, point.precision, point.recall) == (0.3, pytest.approx(2 / 3), 1.0)
    assert point.f1 == pytest.approx(0.8)


def test_without_a_found_face_the_best_threshold_is_one_that_nothing_reaches() -> None:
    found = one_image(rows((*NOWHERE, 0.9)), rows(A, width=4))
    for curve in (found.curves["all"], found.exact_curves["all"]):
        assert (best_f1(curve).threshold, best_f1(curve).f1) == (math.inf, 0.0)


# ------------------------------------------------------------------------------------------ odd input


def test_scores_above_1_and_below_0_are_stretched_like_all_others() -> None:
    faces = rows(A, B, width=4)
    plain = one_image(rows((*A, 1.0), (*NOWHERE, 0.5), (*B, 0.0)), faces)
    wide = one_image(rows((*A, 30.0), (*NOWHERE, 10.0), (*B, -10.0)), faces)
    assert wide["all"] == plain["all"] == pytest.approx(1 / 2 + 1 / 2 * 2 / 3)
    # a range that does not reach down to 1, or up to 0, is stretched from there: as the field's evaluator has it
    above = one_image(rows((*A, 5.0), (*B, 3.0)), faces)
    assert above.curves["all"].thresholds[-1] == 1.0
    below = one_image(rows((*A, -3.0), (*B, -5.0)), faces)
    assert below.curves["all"].thresholds[0] == pytest.approx(-5 / 1000)


def test_without_any_detection_ap_is_zero() -> None:
    found = one_image(rows(), rows(A, width=4))
    assert (found["all"], found.exact_ap["all"]) == (0.0, 0.0)


def test_without_any_image_there_is_no_ap() -> None:
    found = widerface_ap([], [], {"all": []})
    assert math.isnan(found["all"])
    assert math.isnan(found.exact_ap["all"])


def test_a_setting_that_keeps_no_face_has_no_ap() -> None:
    found = one_image(rows((*A, 0.9)), rows(A, width=4), kept=[False])
    assert math.isnan(found["all"])
    assert math.isnan(found.exact_ap["all"])


@pytest.mark.parametrize("score", [0.0, 0.7, 1.0, 2.5])
def test_if_all_scores_are_equal_all_detections_count_at_every_threshold(score: float) -> None:
    found = one_image(rows((*A, score), (*NOWHERE, score)), rows(A, B, width=4))
    assert found["all"] == pytest.approx(1 / 2 * 1 / 2)
    assert found.exact_ap["all"] == pytest.approx(1 / 2 * 1 / 2)


def test_detections_in_an_image_without_faces_only_stretch_the_scores() -> None:
    faces, kept = [rows(A, B, width=4), rows(width=4)], {"all": [np.ones(2, bool), np.zeros(0, bool)]}
    detections = rows((*A, 0.5004), (*NOWHERE, 0.5003), (*B, 0.5))
    alone = widerface_ap([detections, rows()], faces, kept)
    beside = widerface_ap([detections, rows((*A, 1.0), (*B, 0.0))], faces, kept)
    assert alone["all"] == pytest.approx(1 / 2 + 1 / 2 * 2 / 3)
    assert beside["all"] == pytest.approx(2 / 3)  # the three now share a bin
    assert beside.exact_ap == alone.exact_ap


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_number_that_is_not_finite_is_refused_with_the_image_that_has_it(value: float) -> None:
    with pytest.raises(ValueError, match="image 1: a coordinate or score is not a finite number"):
        widerface_ap([rows(), rows((*A, value))], [rows(width=4)] * 2, {"all": [np.zeros(0, bool)] * 2})


def test_unequal_numbers_of_images_and_masks_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="2 images in `faces`, but 1 in the detections"):
        widerface_ap([rows()], [rows(width=4)] * 2, {})
    with pytest.raises(ValueError, match="1 images in `hard`, but 2"):
        widerface_ap([rows()] * 2, [rows(width=4)] * 2, {"hard": [np.zeros(0, bool)]})
    with pytest.raises(ValueError, match="image 0: 1 faces, but `hard` has a mask of 3"):
        widerface_ap([rows()], [rows(A, width=4)], {"hard": [np.zeros(3, bool)]})


# ------------------------------------------------------------------------------- the protocol, read literally


def literal_ap(detections: Images, faces: Images, kept: Images, num_thresholds: int, iou: float) -> float:
    """The official protocol as nested loops, one threshold after the other, on lists sorted by score."""
    low, high = 1.0, 0.0
    for image in detections:
        for detection in image:
            low, high = min(low, detection[4]), max(high, detection[4])

    num_kept = sum(int(mask.sum()) for mask in kept)
    if num_kept == 0:
        return math.nan
    curve = []
    for step in range(1, num_thresholds + 1):
        num_proposals = num_found = 0
        for image, boxes, mask in zip(detections, faces, kept, strict=True):
            found = set()
            for detection in sorted(image.tolist(), key=lambda row: -row[4]):
                stretched = (detection[4] - low) / (high - low) if high > low else 1.0
                if stretched < 1 - step / num_thresholds or len(boxes) == 0:
                    continue
                best, nearest = -1.0, -1
                for number, face in enumerate(boxes.tolist()):
                    overlap = literal_overlap(detection, face)
                    if overlap > best:
                        best, nearest = overlap, number
                if best < iou:
                    num_proposals += 1
                elif mask[nearest]:
                    num_proposals += 1
                    found.add(nearest)
            num_found += len(found)
        curve.append((num_found / num_kept, num_found / num_proposals if num_proposals else 0.0))

    area, reached = 0.0, 0.0
    for position, (recall, _) in enumerate(curve):
        area += (recall - reached) * max(precision for _, precision in curve[position:])
        reached = recall
    return area


def literal_overlap(a: Sequence[float], b: Sequence[float]) -> float:
    width = min(a[2], b[2]) - max(a[0], b[0]) + 1
    height = min(a[3], b[3]) - max(a[1], b[1]) + 1
    if width <= 0 or height <= 0:
        return 0.0
    area_a, area_b = ((c[2] - c[0] + 1) * (c[3] - c[1] + 1) for c in (a, b))
    return width * height / (area_a + area_b - width * height)


@given(data_sets(), st.sampled_from([1, 10, 100]), st.sampled_from([0.3, 0.5]))
@settings(max_examples=150, deadline=None)
def test_official_ap_is_that_of_the_protocol_read_literally(
    data: tuple[list[np.ndarray], list[np.ndarray], list[np.ndarray]], num_thresholds: int, iou: float
) -> None:
    detections, faces, kept = data
    expected = literal_ap(detections, faces, kept, num_thresholds, iou)
    found = widerface_ap(detections, faces, {"all": kept}, iou, num_thresholds)
    assert found["all"] == pytest.approx(expected, abs=1e-12, nan_ok=True)


@pytest.mark.parametrize("seed", range(50))
def test_official_ap_of_random_sets_is_that_of_the_step_by_step_form(seed: int) -> None:
    # unsorted, tied, empty and single-detection images are in every one of them
    data = random_set(seed)
    assert {len(image) for image in data.detections} >= {0, 1}
    expected = literal_widerface_ap(data.detections, data.faces, data.kept, num_thresholds=100)
    found = widerface_ap(data.detections, data.faces, data.kept, num_thresholds=100)
    assert dict(found) == pytest.approx(expected, abs=1e-12, nan_ok=True)
    assert math.isnan(found["none"])
    assert 0.1 < found["all"] < 0.9


@given(
    data_sets(), st.sampled_from([0.05, 0.3, 0.5, 0.7, 1.0]), st.floats(0, 1e6), st.sampled_from([1.0, 0.1])
)
@settings(max_examples=150, deadline=None)
def test_the_step_by_step_form_agrees_at_any_iou_and_wherever_the_boxes_are(
    data: tuple[list[np.ndarray], list[np.ndarray], list[np.ndarray]], iou: float, shift: float, scale: float
) -> None:
    detections = [_moved(image, scale, shift) for image in data[0]]
    faces = [_moved(image, scale, shift) for image in data[1]]
    kept = {"all": data[2]}
    expected = literal_widerface_ap(detections, faces, kept, iou, num_thresholds=10)
    found = widerface_ap(detections, faces, kept, iou, num_thresholds=10)
    assert dict(found) == pytest.approx(expected, abs=1e-12, nan_ok=True)


def _moved(boxes: np.ndarray, scale: float, shift: float) -> np.ndarray:
    return np.column_stack([boxes[:, :4] * scale + shift, boxes[:, 4:]])


@given(data_sets())
@settings(max_examples=100, deadline=None)
def test_exact_ap_is_official_ap_when_scores_are_replaced_by_evenly_spaced_ranks(
    data: tuple[list[np.ndarray], list[np.ndarray], list[np.ndarray]],
) -> None:
    detections, faces, kept = data
    exact = widerface_ap(detections, faces, {"all": kept}).exact_ap["all"]
    values = np.unique(np.concatenate([image[:, 4] for image in detections]))
    ranked = [
        np.column_stack([image[:, :4], np.searchsorted(values, image[:, 4]) / max(1, len(values) - 1)])
        for image in detections
    ]
    again = widerface_ap(ranked, faces, {"all": kept})
    assert exact == pytest.approx(literal_ap(ranked, faces, kept, 64, 0.5), abs=1e-12, nan_ok=True)
    assert exact == pytest.approx(again.exact_ap["all"], abs=1e-12, nan_ok=True)


# ------------------------------------------------------------------------ the field's evaluator's own figures


@pytest.fixture(scope="module")
def official(shared: Path) -> tuple[list[np.ndarray], list[np.ndarray], dict[str, list[np.ndarray]]]:
    folder = shared / "widerface"
    everything = scipy.io.loadmat(str(folder / "wider_face_val.mat"))
    subsets = {
        s: scipy.io.loadmat(str(folder / f"wider_{s}_val.mat"))["gt_list"] for s in ("easy", "medium", "hard")
    }
    stored = np.load(folder / "example_detections.npz")
    per_image = np.split(stored["rows"], np.cumsum(stored["counts"])[:-1])
    by_name = dict(zip(stored["names"].tolist(), per_image, strict=True))

    detections: list[np.ndarray] = []
    faces: list[np.ndarray] = []
    kept: dict[str, list[np.ndarray]] = {setting: [] for setting in subsets}
    for event, (name,) in enumerate(everything["event_list"]):
        files = everything["file_list"][event][0]
        for image in range(len(files)):
            xywh = by_name[f"{name[0]}/{files[image][0][0]}"]
            detections.append(np.column_stack([xywh[:, :2], xywh[:, :2] + xywh[:, 2:4], xywh[:, 4]]))
            boxes = everything["face_bbx_list"][event][0][image][0].astype(np.float64)
            faces.append(np.column_stack([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]]))
            for setting, subset in subsets.items():
                mask = np.zeros(len(boxes), dtype=bool)
                mask[subset[event][0][image][0].ravel().astype(int) - 1] = True
                kept[setting].append(mask)
    return detections, faces, kept


_FIELD = {"easy": 0.5520735608463685, "medium": 0.559718898654674, "hard": 0.5661289891711805}


def test_ap_on_the_official_validation_set_equals_the_fields_evaluator(
    official: tuple[list[np.ndarray], list[np.ndarray], dict[str, list[np.ndarray]]],
) -> None:
    detections, faces, kept = official
    found = widerface_ap(detections, faces, kept)
    assert dict(found) == pytest.approx(_FIELD, abs=1e-9)
    assert found.num_faces == {"easy": 7211, "medium": 13319, "hard": 31958}
    assert (found.num_images, sum(map(len, detections))) == (3226, 116616)


def test_ap_of_three_decimals_is_that_of_the_field_too(
    official: tuple[list[np.ndarray], list[np.ndarray], dict[str, list[np.ndarray]]],
) -> None:
    # the reference was measured on text files written with %.3f, which the stored rows survive
    detections, faces, kept = official
    rounded = []
    for image in detections:
        xywh = np.column_stack([image[:, :2], image[:, 2:4] - image[:, :2], image[:, 4]]).round(3)
        rounded.append(np.column_stack([xywh[:, :2], xywh[:, :2] + xywh[:, 2:4], xywh[:, 4]]))
    assert dict(widerface_ap(rounded, faces, kept)) == pytest.approx(_FIELD, abs=1e-9)


def test_ap_of_shuffled_detections_is_that_of_sorted_ones(
    official: tuple[list[np.ndarray], list[np.ndarray], dict[str, list[np.ndarray]]],
) -> None:
    detections, faces, kept = official
    generator = np.random.default_rng(0)
    found = widerface_ap([generator.permutation(image) for image in detections], faces, kept)
    assert dict(found) == pytest.approx(_FIELD, abs=1e-9)


@pytest.mark.parametrize("num_pairs", [1, 1000])
def test_ap_does_not_depend_on_how_many_overlaps_are_held_at_a_time(
    num_pairs: int,
    monkeypatch: pytest.MonkeyPatch,
    official: tuple[list[np.ndarray], list[np.ndarray], dict[str, list[np.ndarray]]],
) -> None:
    detections, faces, kept = (official[0][:20], official[1][:20], {"hard": official[2]["hard"][:20]})
    whole = widerface_ap(detections, faces, kept)
    monkeypatch.setattr(matching, "_PAIRS", num_pairs)
    monkeypatch.setattr(matching, "_ROWS", num_pairs)
    assert dict(widerface_ap(detections, faces, kept)) == dict(whole)


def test_halving_every_score_leaves_ap_unchanged_but_a_curved_map_only_the_exact_one(
    official: tuple[list[np.ndarray], list[np.ndarray], dict[str, list[np.ndarray]]],
) -> None:
    detections, faces, kept = official
    plain = widerface_ap(detections, faces, kept)
    halved = widerface_ap([image * [1, 1, 1, 1, 0.5] for image in detections], faces, kept)
    curved = widerface_ap([np.column_stack([i[:, :4], i[:, 4] ** 8]) for i in detections], faces, kept)
    assert dict(halved) == pytest.approx(dict(plain), abs=1e-12)
    assert curved.exact_ap == pytest.approx(plain.exact_ap, abs=1e-12)
    assert abs(curved["hard"] - plain["hard"]) > 1e-3
