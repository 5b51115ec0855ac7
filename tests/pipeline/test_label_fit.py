"""Labels that cannot be right are counted, and said to be what they probably are."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from pipeline.dataset.index import update_index
from pipeline.dataset.label_fit import LabelFit, LabelledSize, index_fit, label_fit
from pipeline.workspace.layout import Workspace
from workflows.cli.main import cli

WIDTH, HEIGHT = 640, 480
FACES_XYWH = [
    [[300, 200, 40, 60], [100, 80, 30, 40], [590, 430, 50, 50]],
    [[10, 300, 90, 120], [400, 20, 60, 70]],
    [[0, 0, 640, 480]],
]


def fit(faces_xywh: list[list[list[float]]], size: tuple[int, int] = (WIDTH, HEIGHT)) -> LabelFit:
    images = []
    for number, faces in enumerate(faces_xywh):
        boxes = np.array(faces, np.float64).reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        images.append(LabelledSize(f"e/{number}.jpg", boxes, *size))
    return label_fit(images)


def as_corners(faces: list[list[float]]) -> list[list[float]]:
    return [[x, y, x + w, y + h] for x, y, w, h in faces]


def test_labels_that_fit_are_no_matter() -> None:
    found = fit(FACES_XYWH)
    assert (found.num_boxes, found.num_beyond, found.is_wrong, found.sentence) == (6, 0, False, "")


def test_no_labels_are_no_matter() -> None:
    assert fit([]).sentence == fit([[]]).sentence == ""


def test_a_box_may_end_two_pixels_beyond() -> None:
    assert fit([[[600, 400, 42, 82]]]).num_beyond == 0
    assert fit([[[600, 400, 43, 82]]]).num_beyond == 1


def test_corners_in_the_place_of_sizes_are_recognised() -> None:
    found = fit([as_corners(faces) for faces in FACES_XYWH])
    assert found.is_wrong
    assert "look like corners x1 y1 x2 y2; x y width height is expected" in found.sentence
    assert found.sentence.startswith(f"{found.num_beyond} of 6 boxes end beyond their image")


def test_labels_of_the_turned_photograph_are_recognised() -> None:
    found = fit([[[20, 500, 60, 80], [200, 600, 50, 30]], [[400, 560, 60, 70], [10, 10, 20, 20]]])
    assert found.is_wrong
    assert "turned by a quarter" in found.sentence
    assert "EXIF" in found.sentence


def test_labels_of_larger_images_are_recognised() -> None:
    found = fit([[[2 * value for value in face] for face in faces] for faces in FACES_XYWH])
    assert found.is_wrong
    assert "images of another size" in found.sentence


def test_shares_of_the_image_are_recognised() -> None:
    found = fit([[[0.5, 0.5, 0.1, 0.1], [0.2, 0.3, 0.05, 0.1]], [[0.1, 0.1, 0.8, 0.9]]])
    assert found.is_wrong
    assert "shares of the image" in found.sentence


def test_one_box_far_away_is_wrong_and_named() -> None:
    found = fit([*FACES_XYWH, [[5000, 5000, 30, 40]]])
    assert found.is_wrong
    assert found.sentence == (
        "1 of 7 boxes end beyond their image, 1 lie outside of it, such as x y w h = 5000 5000 30 40 in e/3.jpg of "
        "640 x 480 px"
    )


def test_faces_labelled_as_far_as_they_would_reach_are_odd_but_not_wrong() -> None:
    found = fit([*FACES_XYWH, [[-20, 100, 60, 80]], [[10, 10, 20, 20]], [[50, 50, 20, 20]]])
    assert (found.num_beyond, found.is_wrong) == (1, False)
    assert found.sentence.startswith("1 of 9 boxes end beyond their image, such as x y w h = -20 100 60 80")


@given(
    st.lists(
        st.lists(
            st.tuples(st.integers(0, 600), st.integers(0, 440), st.integers(1, 40), st.integers(1, 40)),
            max_size=5,
        ),
        max_size=5,
    )
)
def test_labels_within_their_images_are_never_wrong(faces: list[list[tuple[int, int, int, int]]]) -> None:
    # but for those that lie in the first two pixels all of them, which are taken for shares
    found = fit([[list(face) for face in image] for image in faces])
    assert found.num_beyond == 0
    assert not found.guess or "shares" in found.guess


def write_data_set(root: Path, faces: list[list[list[float]]]) -> Path:
    folder = root / "WIDER_val" / "images" / "e"
    folder.mkdir(parents=True)
    lines = []
    for number, boxes in enumerate(faces):
        assert cv2.imwrite(str(folder / f"{number}.png"), np.full((HEIGHT, WIDTH, 3), 90 + number, np.uint8))
        lines += [f"e/{number}.png", str(len(boxes))]
        lines += [" ".join(f"{value:g}" for value in box) + " 0 0 0 0 0 0" for box in boxes]
    (root / "wider_face_split").mkdir()
    (root / "wider_face_split" / "wider_face_val_bbx_gt.txt").write_text("\n".join(lines) + "\n")
    return root


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cli, list(map(str, arguments)))


def test_validate_fails_where_labels_cannot_be_right(tmp_path: Path) -> None:
    right = run("dataset", "validate", write_data_set(tmp_path / "right", FACES_XYWH))
    assert right.exit_code == 0
    assert "boxes end" not in right.output
    data = write_data_set(tmp_path / "wrong", [as_corners(faces) for faces in FACES_XYWH])
    wrong = run("dataset", "validate", data)
    assert wrong.exit_code == 1
    assert "look like corners" in wrong.output
    assert "cannot be right" in str(wrong.exception)


def test_the_index_says_so_too(tmp_path: Path) -> None:
    data = write_data_set(tmp_path / "wrong", [as_corners(faces) for faces in FACES_XYWH])
    ended = run("dataset", "index", "--data", data, "--out", tmp_path / "w")
    assert ended.exit_code == 0
    assert "  labels: " in ended.stderr
    assert "look like corners" in ended.stderr


def test_collected_labels_that_cannot_be_right_are_told(tmp_path: Path) -> None:
    images = tmp_path / "photos"
    images.mkdir()
    rows = []
    for number, faces in enumerate(FACES_XYWH):
        pixels = np.random.default_rng(number).integers(0, 255, (HEIGHT, WIDTH, 3), np.uint8)
        assert cv2.imwrite(str(images / f"{number}.png"), pixels)
        boxes = as_corners(faces)
        rows += [f"{number}.png", str(len(boxes)), *(" ".join(map(str, box)) for box in boxes)]
    labels = tmp_path / "labels.txt"
    labels.write_text("\n".join(rows) + "\n")
    ended = run("dataset", "collect", images, "--out", tmp_path / "out", "--labels", labels)
    assert ended.exit_code == 1
    assert "look like corners" in ended.stderr
    assert "cannot be right" in str(ended.exception)


@pytest.mark.parametrize("name", ["facemask", "mixed", "wider_original", "wider_val_restored"])
def test_real_labels_fit(name: str, shared: Path, tmp_path: Path) -> None:
    index = update_index(Workspace(tmp_path), shared / "real" / name, "val").index
    assert index_fit(index.all_rows).sentence == ""
