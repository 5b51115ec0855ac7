"""`crface detect` draws what is found, where it is, so that it can be read."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner, Result

from crface import ranker
from detectors.golden import golden_picture
from detectors.golden.picture import FACES_XYXY
from pipeline.errors import UsageError, UserError
from pipeline.images.decode import read_image
from pipeline.images.drawing import drawn
from workflows.cli.main import cli

GREY = np.full((600, 800, 3), 128, np.uint8)


def rows(*boxes: tuple[float, float, float, float, float]) -> np.ndarray:
    return np.array(boxes, np.float32).reshape(-1, 5)


def changed(image: np.ndarray, detections: np.ndarray) -> np.ndarray:
    return (drawn(image, detections) != image).any(axis=2)


def test_a_frame_is_drawn_on_the_edges_of_its_box_and_nothing_else_but_its_number() -> None:
    is_drawn = changed(GREY, rows((100, 200, 300, 500, 0.9)))
    assert is_drawn[500, 100:300].all()
    assert is_drawn[200:500, 100].all()
    assert not is_drawn[210:490, 110:290].any()
    assert is_drawn[195:200, 110:120].any()  # the number, above
    assert not is_drawn[:150].any()
    assert not is_drawn[520:].any()


def test_without_detections_the_picture_is_the_image() -> None:
    assert not changed(GREY, rows()).any()


def test_the_image_itself_is_left_alone() -> None:
    before = GREY.copy()
    drawn(GREY, rows((0, 0, 100, 100, 0.5)))
    assert (before == GREY).all()


def test_at_the_upper_edge_the_number_is_inside_the_frame() -> None:
    is_drawn = changed(GREY, rows((100, 0, 300, 300, 0.9)))
    assert is_drawn[5:15, 105:120].any()


def test_a_frame_too_narrow_for_a_legible_number_has_none() -> None:
    is_drawn = changed(GREY, rows((100, 200, 126, 240, 0.9)))
    assert is_drawn[239:242, 100:126].any()
    assert not is_drawn[:195].any()


def test_the_best_detection_is_on_top() -> None:
    best, other = (100, 200, 300, 500, 0.9), (110, 190, 310, 490, 0.6)
    both, alone = drawn(GREY, rows(best, other)), drawn(GREY, rows(best))
    is_drawn = changed(GREY, rows(best))
    assert (both[is_drawn] == alone[is_drawn]).mean() > 0.99  # but for a blended edge


@pytest.mark.parametrize(
    ("size", "expected"),
    [((150, 200), (450, 600)), ((1, 1), (600, 600)), ((600, 100), (600, 100)), ((5, 700), (5, 700))],
)
def test_small_pictures_are_enlarged_by_a_whole_factor(
    size: tuple[int, int], expected: tuple[int, int]
) -> None:
    assert drawn(np.zeros((*size, 3), np.uint8), rows()).shape == (*expected, 3)


def test_boxes_beyond_the_image_and_without_area_do_no_harm() -> None:
    boxes = rows(
        (-50, -50, 900, 700, 0.9), (790, 590, 1e9, 1e9, 0.8), (5, 5, 5, 5, 0.7), (-9, -9, -2, -2, 0.6)
    )
    is_drawn = changed(GREY, boxes)
    assert is_drawn[585:, 785:].any()  # of the second, the corner that is in the picture
    assert not is_drawn[60:580, 60:780].any()


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photo.png"
    assert cv2.imwrite(str(path), golden_picture()[..., ::-1])
    return path


def detect(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cli, ["detect", *map(str, arguments)])


def test_faces_are_found_printed_and_drawn(photo: Path) -> None:
    out = photo.parent / "out"
    ended = detect(photo, "--out", out)
    assert ended.exit_code == 0, ended.output
    assert ended.stdout == f"{photo}: 2 faces, best confidence 0.99; {out / 'photo-faces.jpg'}\n"
    assert read_image(out / "photo-faces.jpg").shape == (480, 672, 3)


def test_json_has_the_boxes_in_the_images_own_pixels(photo: Path) -> None:
    ended = detect(photo, "--out", photo.parent / "out", "--json")
    (answer,) = json.loads(ended.stdout)
    assert (answer["width"], answer["height"]) == (224, 160)
    for face, wanted in zip(answer["faces"], FACES_XYXY, strict=True):
        assert np.abs(np.array(face["box_xyxy"]) - wanted).max() < 6
    assert answer["faces"][0]["confidence"] == answer["best_confidence"] > 0.9


def test_the_threshold_decides_what_is_shown_and_the_best_confidence_is_said_all_the_same(
    photo: Path,
) -> None:
    ended = detect(photo, "--out", photo.parent / "out", "--threshold", "1")
    assert "0 faces, best confidence 0.99" in ended.stdout


def test_a_bad_image_is_named_and_the_others_are_done(photo: Path) -> None:
    bad = photo.parent / "bad.jpg"
    bad.write_bytes(b"no image")
    ended = detect(bad, photo, photo.parent / "gone.jpg", "--out", photo.parent / "out", "--json")
    assert isinstance(ended.exception, UserError)
    assert "2 of 3 images" in str(ended.exception)
    assert "bad.jpg" in ended.stderr
    answers = json.loads(ended.stdout)
    assert ["error" in answer for answer in answers] == [True, False, True]
    assert [path.name for path in (photo.parent / "out").iterdir()] == ["photo-faces.jpg"]


def test_an_image_is_never_overwritten_even_in_its_own_folder(photo: Path) -> None:
    before = photo.read_bytes()
    assert detect(photo, "--out", photo.parent).exit_code == 0
    assert photo.read_bytes() == before


def test_a_ranker_refines_the_confidences(photo: Path) -> None:
    model = ranker.create("small", num_candidates=16, image_side_px=64)  # untrained: no confidence changes
    file = photo.parent / "ranker.safetensors"
    answers = []
    for lowest in (0.0, -1.0):  # then c' = (c + 1) / 2
        model.lowest.fill_(lowest)
        ranker.save(model, file)
        ended = detect(photo, "--ranker", file, "--out", photo.parent / "out", "--json")
        assert ended.exit_code == 0, ended.output
        answers.append(json.loads(ended.stdout)[0])
    plain = json.loads(detect(photo, "--out", photo.parent / "out", "--json").stdout)[0]
    assert answers[0] == plain
    assert answers[1]["best_confidence"] == pytest.approx((plain["best_confidence"] + 1) / 2, abs=1e-4)


@pytest.mark.parametrize("spec", ["nobody", "imported:far"])
def test_a_detector_that_cannot_be_made_is_one_sentence(photo: Path, spec: str) -> None:
    ended = detect(photo, "--detector", spec)
    assert isinstance(ended.exception, UsageError)
    assert spec.removeprefix("imported:") in str(ended.exception)


def test_a_file_that_is_no_ranker_is_one_sentence(photo: Path) -> None:
    ended = detect(photo, "--ranker", photo)
    assert isinstance(ended.exception, UserError)
    assert "photo.png" in str(ended.exception)


def drawing_of(folder: Path, *arguments: str | Path) -> list[str]:
    """Run the command and name the pictures that it says it wrote."""
    ended = detect(*arguments, "--out", folder, "--json")
    assert ended.exit_code == 0, ended.output
    return [Path(answer["picture"]).name for answer in json.loads(ended.stdout)]


def test_a_photograph_with_the_name_of_a_drawing_is_not_written_over(photo: Path) -> None:
    mine = photo.with_name("photo-faces.jpg")
    assert cv2.imwrite(str(mine), GREY)
    before = mine.read_bytes()
    names = drawing_of(photo.parent, photo, mine)
    assert names == ["photo-faces-2.jpg", "photo-faces-faces.jpg"]
    assert mine.read_bytes() == before


def test_photographs_of_one_name_in_two_folders_keep_a_drawing_each_whenever_they_are_looked_at(
    photo: Path,
) -> None:
    folder = photo.parent
    others = [folder / name / "x.png" for name in "ab"]
    for other, value in zip(others, (0, 255), strict=True):
        other.parent.mkdir()
        assert cv2.imwrite(str(other), np.full((32, 32, 3), value, np.uint8))
    assert [drawing_of(folder, other) for other in others] == [["x-faces.jpg"], ["x-faces-2.jpg"]]
    before = [(folder / name).read_bytes() for name in ("x-faces.jpg", "x-faces-2.jpg")]
    assert [drawing_of(folder, other) for other in others] == [["x-faces.jpg"], ["x-faces-2.jpg"]]
    assert [(folder / name).read_bytes() for name in ("x-faces.jpg", "x-faces-2.jpg")] == before


def test_a_folder_stands_for_its_images_and_its_drawings_are_not_looked_at_again(photo: Path) -> None:
    folder = photo.parent
    (folder / "deep").mkdir()
    assert cv2.imwrite(str(folder / "deep" / "other.jpg"), GREY)
    (folder / "notes.txt").write_text("no image")
    for _ in range(2):
        ended = detect(folder, "--out", folder, "--json")
        assert ended.exit_code == 0, ended.output
        looked_at = [Path(answer["image"]).name for answer in json.loads(ended.stdout)]
        assert sorted(looked_at) == ["other.jpg", "photo.png"]
    assert "2 drawings by `crface detect` left out" in ended.stderr
    assert sorted(file.name for file in folder.glob("*-faces*")) == ["other-faces.jpg", "photo-faces.jpg"]


def test_a_drawing_that_is_named_is_left_out(photo: Path) -> None:
    (name,) = drawing_of(photo.parent, photo)
    drawing = photo.with_name(name)
    assert drawing_of(photo.parent, photo, drawing) == [name]
    ended = detect(drawing)
    assert ended.exit_code == 1
    assert isinstance(ended.exception, UserError)
    assert "no image to look at" in str(ended.exception)


def test_a_long_name_gets_a_drawing_too(photo: Path) -> None:
    long = photo.with_name("й" * 120 + ".png")
    photo.rename(long)
    (name,) = drawing_of(photo.parent, long)
    assert read_image(photo.parent / name).shape == (480, 672, 3)


def test_the_mark_of_a_drawing_tells_no_path(photo: Path) -> None:
    (name,) = drawing_of(photo.parent, photo)
    data = photo.with_name(name).read_bytes()
    assert b"drawn by crface detect" in data
    assert bytes(photo.parent) not in data
