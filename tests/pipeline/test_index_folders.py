"""Where images and labels are looked for: data sets in their usual places, plain folders, and what is neither."""

import os
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from indexed_data import DataSet, counts, three_images, updated

from pipeline.dataset.index import load_index, update_index
from pipeline.dataset.splits import find_splits, split_files
from pipeline.errors import UserError
from pipeline.images.drawing_mark import marked
from pipeline.workspace.layout import Workspace


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "run")


@pytest.fixture
def data(tmp_path: Path) -> DataSet:
    return three_images(tmp_path / "data")


def test_a_data_set_that_moved_is_followed(workspace: Workspace, data: DataSet, tmp_path: Path):
    before = updated(workspace, data).index
    shutil.move(data.root, tmp_path / "elsewhere")
    data.root = tmp_path / "elsewhere"
    update = updated(workspace, data)
    assert counts(update) == (0, 0, 0, 0)
    assert update.index.digest == before.digest
    assert update.index.image_path(0) == tmp_path / "elsewhere/WIDER_val/images/b/1.jpg"
    assert load_index(workspace, "val").data_root == tmp_path / "elsewhere"


def test_a_link_that_leads_out_of_the_data_set_is_not_followed(
    workspace: Workspace, data: DataSet, tmp_path: Path
):
    outside = DataSet(tmp_path / "private").add("secret.jpg").folder
    (data.folder / "a/link.jpg").symlink_to(outside / "secret.jpg")
    (data.folder / "shelf").symlink_to(outside)
    (data.folder / "a/inside.jpg").symlink_to(data.folder / "a/3.jpg")
    for name in ("a/link.jpg", "shelf/secret.jpg", "a/inside.jpg"):
        data.list(name)
    update = updated(workspace, data)
    assert [path for path, _ in update.unreadable] == ["a/link.jpg", "shelf/secret.jpg"]
    assert all("leads out of the data set" in reason for _, reason in update.unreadable)
    assert update.index.row(3).sha256 == ""
    assert update.index.row(5).status == "ok"


def test_a_data_set_reached_through_a_link_is_read(workspace: Workspace, data: DataSet, tmp_path: Path):
    (tmp_path / "door").mkdir()
    (tmp_path / "door/WIDER_val").symlink_to(data.root / "WIDER_val")
    (tmp_path / "door/wider_face_split").symlink_to(data.root / "wider_face_split")
    assert update_index(workspace, tmp_path / "door", "val").index.ok_rows == (0, 1, 2)


def test_a_path_that_climbs_out_stops_the_update(workspace: Workspace, data: DataSet):
    data.list("../../../../etc/passwd")
    with pytest.raises(UserError, match=r"line 10: .*leads out of the image folder"):
        update_index(workspace, data.root, "val")
    assert not workspace.index("val").exists()


def test_a_plain_folder_is_one_split_without_labels(workspace: Workspace, tmp_path: Path):
    folder = tmp_path / "photos"
    for name in ("z.png", "deep/er/a.JPG", "b.jpeg", ".hidden.jpg", ".thumbnails/c.jpg"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        ok, png = cv2.imencode(".png", np.zeros((4, 6, 3), np.uint8))
        assert ok
        (folder / name).write_bytes(png.tobytes())
    (folder / "notes.txt").write_text("no image")
    assert find_splits(folder) == ["images"]
    index = update_index(workspace, folder, "images").index
    assert [row.path for row in index.rows(0, 9)] == ["b.jpeg", "deep/er/a.JPG", "z.png"]
    assert not index.is_labelled
    assert [len(row.faces) for row in index.rows(0, 9)] == [0, 0, 0]
    assert index.image_path(1) == folder / "deep/er/a.JPG"


def test_a_plain_folder_names_the_images_whose_format_is_not_read(workspace: Workspace, tmp_path: Path):
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "a.tiff").write_bytes(b"II*\0\x08\0\0\0\0\0\0\0")
    update = update_index(workspace, folder, "images")
    assert update.unreadable == [
        ("a.tiff", "it is a TIFF image, which is not read here: convert it to PNG or JPEG")
    ]
    assert list(update.index.ok_rows) == []


def test_splits_are_those_with_images_in_their_usual_order(data: DataSet, tmp_path: Path):
    for split in ("test", "extra", "train"):
        DataSet(data.root, split)
    (data.root / "wider_face_split" / "wider_face_other_bbx_gt.txt").touch()  # no images: no split
    assert find_splits(data.root) == ["train", "val", "test", "extra"]
    assert split_files(data.root, "test").annotations is None


def test_a_split_without_annotation_text_is_images_only(workspace: Workspace, data: DataSet):
    data.text.unlink()
    index = update_index(workspace, data.root, "val").index
    assert [row.path for row in index.rows(0, 9)] == ["a/2.jpg", "a/3.jpg", "b/1.jpg"]
    assert not index.is_labelled


def test_what_is_no_data_set_is_said_in_one_sentence(workspace: Workspace, data: DataSet, tmp_path: Path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    (tmp_path / "labels/wider_face_split").mkdir(parents=True)
    for path, split, words in [
        (tmp_path / "absent", "val", "does not exist: give a folder with --data"),
        (tmp_path / "file", "val", "is no folder"),
        (tmp_path / "empty", "val", r"looked for WIDER FACE's layout \(folders WIDER_<split>/images"),
        (tmp_path / "labels", "val", "has annotations but no images"),
        (data.root / "WIDER_val", "val", f"give the folder above it, {data.root}"),
        (data.root, "train", "has no split 'train': it has val"),
        (data.root, "../val", "has no split"),
    ]:
        with pytest.raises(UserError, match=words) as caught:
            update_index(workspace, path, split)
        assert "\n" not in str(caught.value)


def test_an_annotation_text_without_images_is_an_error(workspace: Workspace, data: DataSet):
    data.text.write_text("\n")
    with pytest.raises(UserError, match=r"split 'val' has no images: .*wider_face_val_bbx_gt.txt lists none"):
        update_index(workspace, data.root, "val")


def test_pictures_that_no_annotation_lists_are_counted_and_one_is_named(workspace: Workspace, data: DataSet):
    assert not updated(workspace, data).notes
    data.draw("a/extra.jpg")
    data.draw("a/more.jfif.jpg")
    (note,) = updated(workspace, data).notes
    assert note == f"2 pictures left out, such as a/extra.jpg: not listed in {data.text}"


def test_annotations_in_another_folder_than_the_usual_one_are_told(workspace: Workspace, data: DataSet):
    deeper = data.text.parent / "wider_face_split" / data.text.name
    deeper.parent.mkdir()
    data.text.rename(deeper)
    update = updated(workspace, data)
    assert not update.index.is_labelled
    assert update.notes == (
        f"no labels: they are looked for in {data.text}, but there is {deeper}: move it there",
    )


def test_a_folder_above_a_data_set_is_a_plain_folder_and_the_data_set_is_named(
    workspace: Workspace, data: DataSet
):
    update = update_index(workspace, data.root.parent, "images")
    assert len(update.index) == 3
    assert update.notes == (
        f"{data.root} is a data set in WIDER FACE's layout: give it as --data to use its labels and splits",
    )


@pytest.mark.parametrize("ending", ["jfif", "jpe", "JPG", "JFIF"])
def test_every_ending_of_jpeg_files_is_read(ending: str, workspace: Workspace, data: DataSet, tmp_path: Path):
    plain = tmp_path / "plain"
    plain.mkdir()
    shutil.copy(data.folder / "b/1.jpg", plain / f"x.{ending}")
    index = update_index(workspace, plain, "images").index
    assert [index.row(row).path for row in index.ok_rows] == [f"x.{ending}"]


def test_linked_folders_drawings_and_names_that_are_no_text_are_told(
    workspace: Workspace, data: DataSet, tmp_path: Path
):
    plain = tmp_path / "plain"
    plain.mkdir()
    jpeg = (data.folder / "b/1.jpg").read_bytes()
    (plain / "x.jpg").write_bytes(jpeg)
    (plain / "detections").mkdir()
    (plain / "detections" / "x-faces.jpg").write_bytes(marked(jpeg, plain / "x.jpg"))
    (plain / "y-faces.jpg").write_bytes(jpeg)  # a photograph that is called so
    (plain / "more").symlink_to(data.folder, target_is_directory=True)
    (plain / "circle").symlink_to(plain, target_is_directory=True)
    expected = [
        "1 drawing by `crface detect` left out, such as detections/x-faces.jpg",
        "2 linked folders not followed, such as circle",
    ]
    try:
        (plain / os.fsdecode(b"caf\xe9.jpg")).write_bytes(jpeg)
        expected.append(
            "1 image left out, such as 'caf\\udce9.jpg', for no table holds a name that is no UTF-8"
        )
    except OSError:
        pass  # this file system takes UTF-8 names alone
    update = update_index(workspace, plain, "images")
    assert [row.path for row in update.index.all_rows] == ["x.jpg", "y-faces.jpg"]
    assert [note.partition(":")[0] for note in update.notes] == expected
