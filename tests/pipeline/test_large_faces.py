"""The embedded split of single large faces: what it shows, and that it leaves the other splits alone."""

from pathlib import Path

import cv2
from embedded_folder import TINY, read_labels, tree

from pipeline.embedded import make_dataset
from pipeline.embedded.compose import compose
from pipeline.embedded.extra_splits import make_extra_split


def test_the_large_split_is_one_clear_face_a_square_picture_and_leaves_the_rest_alone(tmp_path: Path) -> None:
    make_dataset(tmp_path / "data", TINY)
    before = tree(tmp_path / "data")
    make_extra_split(tmp_path / "data", "large", TINY, processes=1)
    after = tree(tmp_path / "data")
    assert before.items() <= after.items()
    labels = read_labels(tmp_path / "data", "large")
    assert len(labels) == 2  # half as many as val has
    for name, faces in labels.items():
        image = cv2.imread(str(tmp_path / "data" / "WIDER_large" / "images" / name))
        assert image.shape[:2] == (154, 154)  # 1.6 times as large
        ((_, _, _, height, *attributes),) = faces
        assert height > 0.5 * 154
        assert attributes[3] == 0  # not invalid

    make_dataset(tmp_path / "data", TINY)
    make_extra_split(tmp_path / "data", "large", TINY, processes=1)
    assert tree(tmp_path / "data") == after
    make_extra_split(tmp_path / "data", "large", TINY.model_copy(update={"val_images": 2}), processes=1)
    assert set(read_labels(tmp_path / "data", "large")) < set(labels)
    assert len(list((tmp_path / "data" / "WIDER_large").rglob("*.jpg"))) == 1


def test_large_faces_have_no_faults_on_purpose_in_their_labels() -> None:
    faulty = [number for number in range(200) if number % 89 == 37 or number % 61 == 23]
    for number in faulty[:3]:
        (face,) = compose(TINY, "large", number).faces
        assert face.w > 0
        assert not face.invalid
