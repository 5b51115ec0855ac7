"""A detector that does not work on this machine is found out by one drawn picture."""

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

import detectors
from detectors.golden import Answer, GoldenValues, ask, golden_picture, golden_values, judge

PRETRAINED = Path(detectors.__file__).parent / "pretrained"
PICTURE_SHA256 = "9ed2f9f65eabaeed2c594c86e46a89d9e7605a17c8d3bd99679e2a32d5d4f512"

GOOD = np.array(
    [[42, 41, 105, 121, 0.9], [150, 70, 186, 110, 0.8], [1, 1, 9, 9, 0.1], [2, 1, 9, 9, 0.1]], np.float32
)
"""Both faces, and two boxes of equal confidence."""


def verdict(alone: np.ndarray, in_batch: np.ndarray | None = None, golden: np.ndarray | None = None) -> str:
    finding = judge(
        Answer(alone, alone if in_batch is None else in_batch),
        None if golden is None else GoldenValues(golden),
    )
    assert (finding.status == "ok") == (finding.advice == "")
    return f"{finding.status}: {finding.found}"


def moved(column: int, by: float) -> np.ndarray:
    rows = GOOD.copy()
    rows[0, column] += by
    return rows


def test_the_picture_is_the_same_on_every_machine() -> None:
    sha256 = hashlib.sha256(golden_picture().tobytes()).hexdigest()
    assert sha256 == PICTURE_SHA256


@pytest.mark.parametrize("name", sorted(path.stem for path in PRETRAINED.glob("*.safetensors")))
def test_every_detector_with_shipped_weights_has_stored_values_and_gives_them(name: str) -> None:
    golden = golden_values(name)
    assert golden is not None, f"run `python -m detectors.golden {name}` and commit what it writes"
    finding = judge(ask(detectors.create(name)), golden)
    assert finding.status == "ok", finding


def test_random_weights_keep_the_promises_and_are_warned_of() -> None:
    torch.manual_seed(0)  # some random weights happen to like a drawn face
    detector = detectors.create("retinaface-mobilenet0.25", weights=None)
    assert judge(ask(detector), None).status == "warn"


def test_published_weights_find_both_faces(shared: object) -> None:
    spec = f"retinaface-mobilenet0.25@{shared}/models/retinaface_mobilenet0.25_published.pth"
    assert golden_values(spec) is None
    assert "2 of 2" in judge(ask(detectors.create(spec)), None).found


def test_a_good_answer_is_good_with_and_without_stored_values() -> None:
    assert verdict(GOOD).startswith("ok: keeps its promises, and finds 2 of 2")
    assert verdict(GOOD, golden=GOOD).startswith("ok: gives the 4 candidates")


def test_rounding_of_another_processor_is_no_difference() -> None:
    swapped = GOOD[[0, 1, 3, 2]]  # near equals may come in another order
    assert verdict(swapped, golden=GOOD).startswith("ok")
    assert verdict(moved(0, 0.4), golden=GOOD).startswith("ok")
    assert verdict(moved(4, 0.009), golden=GOOD).startswith("ok")


def test_other_boxes_or_confidences_than_stored_are_a_failure() -> None:
    for other in (moved(0, 0.6), moved(4, 0.02)):
        assert verdict(other, golden=GOOD).startswith("fail: 1 of the 4 candidates")


BROKEN = [
    (GOOD[:, :4], None, "shape [4, 4]"),
    (np.zeros((5001, 5), np.float32), None, "shape [5001, 5]"),
    (moved(2, np.nan), None, "not finite"),
    (GOOD[::-1], None, "not sorted"),
    (GOOD, moved(1, 0.5), "1 of its 4 best candidates change"),
    (GOOD, GOOD[:2], "2 of its 4 best candidates change"),
    (GOOD, GOOD[:, :4], "4 of its 4 best candidates change"),
    (GOOD / np.array([224, 160, 224, 160, 1]), None, "confident of 2 boxes in a drawn picture, none"),
    (GOOD * np.array([2, 2, 2, 2, 1]), None, "none of them on a face"),
]


@pytest.mark.parametrize(("alone", "in_batch", "words"), BROKEN, ids=[words for _, _, words in BROKEN])
def test_a_broken_promise_is_named(alone: np.ndarray, in_batch: np.ndarray | None, words: str) -> None:
    found = verdict(alone, in_batch)
    assert found.startswith("fail")
    assert words in found


def test_no_candidates_at_all_are_warned_of() -> None:
    assert verdict(np.zeros((0, 5), np.float32)).startswith("warn")
    assert verdict(GOOD[2:]).startswith("warn")


def test_a_detector_is_asked_alone_and_in_company_of_another_size() -> None:
    calls: list[list[tuple[int, ...]]] = []

    class Recorder:
        name = "recorder"

        def candidates(self, images: Sequence[np.ndarray]) -> list[np.ndarray]:
            calls.append([image.shape for image in images])
            return [GOOD + len(images) * np.array([[1, 0, 0, 0, 0]]) for _ in images]

    assert judge(ask(Recorder()), None).status == "fail"  # type: ignore[arg-type]
    assert calls == [[(160, 224, 3)], [(160, 224, 3), (160, 224, 3), (96, 80, 3)]]


def test_swapped_channels_are_found_by_the_stored_values() -> None:
    detector = detectors.create("retinaface-mobilenet0.25")
    plain: Callable[[Sequence[np.ndarray]], list[np.ndarray]] = detector.candidates

    class Swapped:
        name = "swapped"

        def candidates(self, images: Sequence[np.ndarray]) -> list[np.ndarray]:
            return plain([np.ascontiguousarray(image[..., ::-1]) for image in images])

    assert judge(ask(Swapped()), golden_values("retinaface-mobilenet0.25")).status == "fail"  # type: ignore[arg-type]
