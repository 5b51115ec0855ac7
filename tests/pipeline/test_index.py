"""The index: rows never move, only what changed is read again, and bad files stop nothing."""

import os
import shutil
from pathlib import Path

import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest

from pipeline.dataset import index, index_scan
from pipeline.dataset.index import Index, IndexUpdate, load_index, update_index
from pipeline.dataset.splits import find_splits, split_files
from pipeline.errors import UserError
from pipeline.images.drawing_mark import marked
from pipeline.workspace.layout import Workspace


class DataSet:
    """A small data set in WIDER FACE's layout, whose files a test may change."""

    def __init__(self, root: Path, split: str = "val"):
        self.root, self.split = root, split
        self.folder = root / f"WIDER_{split}" / "images"
        self.text = root / "wider_face_split" / f"wider_face_{split}_bbx_gt.txt"
        self.records: dict[str, list[str]] = {}
        self.text.parent.mkdir(parents=True, exist_ok=True)
        self.folder.mkdir(parents=True, exist_ok=True)

    def add(self, name: str, *rows: str, seed: int = 0, size: tuple[int, int] = (24, 32)) -> "DataSet":
        self.draw(name, seed, size)
        return self.list(name, *rows)

    def draw(self, name: str, seed: int = 0, size: tuple[int, int] = (24, 32)) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(seed).integers(0, 255, (*size, 3), dtype=np.uint8)
        assert cv2.imwrite(str(path), pixels)

    def list(self, name: str, *rows: str) -> "DataSet":
        self.records[name] = list(rows)
        lines = (line for name, faces in self.records.items() for line in (name, str(len(faces)), *faces))
        self.text.write_text("\n".join(lines) + "\n")
        return self


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "run")


@pytest.fixture
def data(tmp_path: Path) -> DataSet:
    data = DataSet(tmp_path / "data")
    data.add("b/1.jpg", "1 2 3 4 0 0 0 0 0 0", "5 5 0 2 1 0 0 0 0 0", seed=1)
    data.add("a/2.jpg", seed=2, size=(10, 20))
    return data.add("a/3.jpg", "1 1 9 9 2 1 1 1 2 1", seed=3)


def _update(workspace: Workspace, data: DataSet) -> IndexUpdate:
    update = update_index(workspace, data.root, data.split)
    stored = load_index(workspace, data.split)
    assert (stored.digest, stored.labels_digest) == (update.index.digest, update.index.labels_digest)
    assert _facts(stored) == _facts(update.index)
    return update


def _facts(index: Index) -> list[tuple[object, ...]]:
    return [
        (
            *(r.row, r.path, r.width, r.height, r.sha256, r.size_bytes, r.mtime_ns, r.status, r.reason),
            *(r.faces.tolist(), r.is_valid.tolist(), r.attributes.tolist()),
        )
        for r in index.rows(0, len(index))
    ]


def _counts(update: IndexUpdate) -> tuple[int, int, int, int]:
    return update.added, update.changed, update.relabelled, update.removed


def test_rows_come_in_the_order_of_the_annotation_file_with_size_hash_and_labels(
    workspace: Workspace, data: DataSet
):
    update = _update(workspace, data)
    index = update.index
    assert _counts(update) == (3, 0, 0, 0)
    assert (index.split, index.data_root, index.image_folder) == ("val", data.root, data.folder)
    assert [row.path for row in index.rows(0, 9)] == ["b/1.jpg", "a/2.jpg", "a/3.jpg"]
    assert [row.row for row in index.rows(1, 3)] == [1, 2]
    first, empty, flagged = index.rows(0, 3)
    assert (first.width, first.height, empty.width, empty.height) == (32, 24, 20, 10)
    assert {row.status for row in index.rows(0, 3)} == {"ok"}
    np.testing.assert_array_equal(first.faces, np.array([[1, 2, 4, 6], [5, 5, 5, 7]], np.float32))
    assert first.is_valid.tolist() == [True, False]
    assert empty.faces.shape == (0, 4)
    assert empty.attributes.shape == (0, 6)
    assert flagged.attributes.tolist() == [[2, 1, 1, 1, 2, 1]]
    assert flagged.is_valid.tolist() == [False]
    assert index.image_path(1) == data.folder / "a/2.jpg"
    assert index.ok_rows == (0, 1, 2)
    assert index.is_labelled


def test_the_file_is_parquet_that_other_tools_read(workspace: Workspace, data: DataSet):
    _update(workspace, data)
    table = pq.read_table(workspace.index("val"))
    assert table.column_names == [
        *("row", "path", "width", "height", "sha256", "size_bytes", "mtime_ns", "status", "reason"),
        *("num_faces", "faces", "is_valid", "attributes"),
    ]
    assert table.column("num_faces").to_pylist() == [2, 0, 1]
    assert table.column("faces").to_pylist()[0] == [1, 2, 4, 6, 5, 5, 5, 7]
    assert table.schema.metadata[b"split"] == b"val"
    assert table.schema.metadata[b"data_root"] == str(data.root).encode()


def test_nothing_is_read_or_written_when_nothing_changed(
    workspace: Workspace, data: DataSet, monkeypatch: pytest.MonkeyPatch
):
    first = _update(workspace, data)
    before = workspace.index("val").stat()
    monkeypatch.setattr(index_scan, "read_bytes", lambda path, *limit: pytest.fail(f"read {path}"))
    monkeypatch.setattr(
        index, "annotations_in", lambda text, files: pytest.fail(f"parsed {files.annotations}")
    )
    again = _update(workspace, data)
    assert _counts(again) == (0, 0, 0, 0)
    assert again.index.labels_digest == first.index.labels_digest
    assert (first.is_written, again.is_written) == (True, False)
    after = workspace.index("val").stat()
    assert (before.st_mtime_ns, before.st_ino) == (after.st_mtime_ns, after.st_ino)
    assert again.index.digest == first.index.digest


def test_an_image_whose_file_is_spelled_otherwise_now_is_found_though_the_text_is_the_same(
    workspace: Workspace, data: DataSet
):
    data.add("0--Parade/Ren\u00e9.jpg", "1 2 3 4 0 0 0 0 0 0")
    _update(workspace, data)
    (data.folder / "0--Parade" / "Ren\u00e9.jpg").rename(data.folder / "0--Parade" / "Rene\u0301.jpg")
    again = _update(workspace, data)
    (found,) = (row for row in again.index.all_rows if row.path == "0--Parade/Rene\u0301.jpg")
    assert (found.status, found.faces.tolist()) == ("ok", [[1, 2, 4, 6]])


def test_only_the_changed_image_is_read_again(
    workspace: Workspace, data: DataSet, monkeypatch: pytest.MonkeyPatch
):
    before = _update(workspace, data).index
    data.draw("a/2.jpg", seed=9, size=(11, 22))
    read: list[str] = []
    real = index_scan.read_bytes
    monkeypatch.setattr(
        index_scan, "read_bytes", lambda path, *limit: (read.append(path.name), real(path))[1]
    )
    update = _update(workspace, data)
    assert read == ["2.jpg"]
    assert _counts(update) == (0, 1, 0, 0)
    assert (update.index.row(1).width, update.index.row(1).height) == (22, 11)
    changed = [a != b for a, b in zip(before.row_digests, update.index.row_digests, strict=True)]
    assert changed == [False, True, False]
    assert update.index.digest != before.digest
    assert update.index.labels_digest == before.labels_digest


def test_a_touched_file_with_the_same_bytes_is_no_change(workspace: Workspace, data: DataSet):
    before = _update(workspace, data).index
    os.utime(data.folder / "a/2.jpg", ns=(1, 1))
    update = _update(workspace, data)
    assert _counts(update) == (0, 0, 0, 0)
    assert update.index.digest == before.digest
    assert update.index.row(1).mtime_ns == 1


def test_one_flipped_byte_in_an_image_that_still_decodes_is_a_change(workspace: Workspace, data: DataSet):
    _update(workspace, data)
    path = data.folder / "a/3.jpg"
    damaged = bytearray(path.read_bytes())
    position = next(i for i in range(len(damaged) // 2, len(damaged)) if damaged[i - 1] < 128 > damaged[i])
    damaged[position] ^= 1
    path.write_bytes(damaged)
    update = _update(workspace, data)
    assert _counts(update) == (0, 1, 0, 0)


def test_new_images_get_rows_at_the_end_and_old_rows_never_move(workspace: Workspace, data: DataSet):
    before = _update(workspace, data).index
    data.records = {"c/0.jpg": [], **data.records}  # listed first
    data.add("c/0.jpg", seed=4).add("a/4.jpg", seed=5)
    update = _update(workspace, data)
    assert _counts(update) == (2, 0, 0, 0)
    assert [row.path for row in update.index.rows(0, 9)] == [
        "b/1.jpg",
        "a/2.jpg",
        "a/3.jpg",
        "c/0.jpg",
        "a/4.jpg",
    ]
    assert _facts(update.index)[:3] == _facts(before)


def test_an_image_no_longer_listed_keeps_its_row_and_comes_back_to_it(workspace: Workspace, data: DataSet):
    before = _update(workspace, data).index
    faces = data.records.pop("b/1.jpg")
    data.add("a/4.jpg", seed=4)
    without = _update(workspace, data)
    assert _counts(without) == (1, 0, 0, 1)
    assert (without.index.row(0).path, without.index.row(0).status) == ("b/1.jpg", "removed")
    assert "no longer listed" in without.index.row(0).reason
    assert without.index.ok_rows == (1, 2, 3)
    assert without.index.row_digests[0] == ""
    assert without.unreadable == []
    assert _update(workspace, data).is_written is False
    data.list("b/1.jpg", *faces)
    back = _update(workspace, data)
    assert _counts(back) == (0, 1, 0, 0)
    assert _facts(back.index)[:3] == _facts(before)


def test_new_labels_change_the_labels_digest_and_nothing_else(workspace: Workspace, data: DataSet):
    before = _update(workspace, data).index
    data.list("a/2.jpg", "1 1 5 5 0 0 0 0 0 0")
    update = _update(workspace, data)
    assert _counts(update) == (0, 0, 1, 0)
    assert update.index.digest == before.digest
    assert update.index.labels_digest != before.labels_digest
    assert update.is_written


def test_bad_images_are_reported_by_name_and_stop_nothing(workspace: Workspace, data: DataSet):
    cut = data.folder / "a/cut.jpg"
    data.add("a/cut.jpg", "1 1 5 5 0 0 0 0 0 0").list("a/gone.jpg", "2 2 5 5 0 0 0 0 0 0").list("a/page.jpg")
    cut.write_bytes(cut.read_bytes()[:-200])
    (data.folder / "a/page.jpg").write_text("404 Not Found")
    data.add("a/after.jpg", seed=7)
    update = _update(workspace, data)
    assert update.unreadable == [
        ("a/cut.jpg", "it is cut short: the end-of-image marker is missing"),
        ("a/gone.jpg", "there is no such file"),
        ("a/page.jpg", "it is no JPEG, PNG, WebP or BMP image"),
    ]
    statuses = [row.status for row in update.index.rows(0, 99)]
    assert statuses == ["ok", "ok", "ok", "unreadable", "missing", "unreadable", "ok"]
    assert update.index.ok_rows == (0, 1, 2, 6)
    assert [bool(digest) for digest in update.index.row_digests] == [i in (0, 1, 2, 6) for i in range(7)]
    assert len(update.index.row(4).faces) == 1
    again = _update(workspace, data)  # said again, though nothing changed
    assert (again.unreadable, again.is_written) == (update.unreadable, False)


def test_a_mended_image_becomes_ok_in_its_row_and_a_damaged_one_stops_being(
    workspace: Workspace, data: DataSet
):
    good = (data.folder / "a/2.jpg").read_bytes()
    before = _update(workspace, data).index
    (data.folder / "a/2.jpg").write_bytes(good[:200])
    damaged = _update(workspace, data)
    assert (_counts(damaged), damaged.index.ok_rows) == ((0, 1, 0, 0), (0, 2))
    (data.folder / "a/2.jpg").unlink()
    gone = _update(workspace, data)
    assert (_counts(gone), gone.index.row(1).status) == ((0, 1, 0, 0), "missing")
    (data.folder / "a/2.jpg").write_bytes(good)
    mended = _update(workspace, data)
    assert (_counts(mended), mended.index.ok_rows) == ((0, 1, 0, 0), (0, 1, 2))
    assert mended.index.digest == before.digest


def test_a_data_set_that_moved_is_followed(workspace: Workspace, data: DataSet, tmp_path: Path):
    before = _update(workspace, data).index
    shutil.move(data.root, tmp_path / "elsewhere")
    data.root = tmp_path / "elsewhere"
    update = _update(workspace, data)
    assert _counts(update) == (0, 0, 0, 0)
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
    update = _update(workspace, data)
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


def test_an_absent_index_is_an_error_that_lists_those_there_are(workspace: Workspace, data: DataSet):
    with pytest.raises(UserError, match=r"no index of the split 'val' \(it has: none\)"):
        load_index(workspace, "val")
    _update(workspace, data)
    with pytest.raises(
        UserError, match=r"no index of the split 'train' \(it has: val\): .*crface dataset index"
    ):
        load_index(workspace, "train")


def test_a_damaged_index_is_never_taken_for_a_sound_one(workspace: Workspace, data: DataSet):
    sound = _facts(_update(workspace, data).index)
    path = workspace.index("val")
    good = path.read_bytes()
    noticed = 0
    for position in range(0, len(good), 23):
        path.write_bytes(good[:position] + bytes([good[position] ^ 0x10]) + good[position + 1 :])
        try:
            assert _facts(load_index(workspace, "val")) == sound  # a byte that says nothing
        except UserError as error:
            assert "move it away and index the data set again" in str(error)  # noqa: PT017
            noticed += 1
    assert noticed > 50
    for wrong in (b"", b"hello", good[:-100], good[100:]):
        path.write_bytes(wrong)
        with pytest.raises(UserError, match="is damaged or no index"):
            update_index(workspace, data.root, "val")
        assert path.read_bytes() == wrong  # it may be the user's: not overwritten


def test_an_index_of_another_schema_version_is_refused(workspace: Workspace, data: DataSet):
    _update(workspace, data)
    path = workspace.index("val")
    table = pq.read_table(path)
    pq.write_table(table.replace_schema_metadata({**table.schema.metadata, b"schema_version": b"7"}), path)
    with pytest.raises(UserError, match="has schema version 7, this crface reads 1"):
        load_index(workspace, "val")
    pq.write_table(table.replace_schema_metadata({}), path)
    with pytest.raises(UserError, match="is damaged or no index"):
        load_index(workspace, "val")


def test_rows_beyond_the_index_do_not_exist(workspace: Workspace, data: DataSet):
    index = _update(workspace, data).index
    assert len(index) == 3
    for row in (3, -1):
        with pytest.raises(IndexError):
            index.row(row)


def test_progress_counts_every_image(workspace: Workspace, data: DataSet):
    seen: list[tuple[int, int]] = []
    update_index(workspace, data.root, "val", progress=lambda done, total: seen.append((done, total)))
    assert seen == [(1, 3), (2, 3), (3, 3)]


@pytest.mark.parametrize(
    ("folder", "split", "images", "faces"),
    [
        ("facemask", "train", 428, 1840),
        ("facemask", "val", 261, 1379),
        ("wider_val_restored", "val", 100, 1672),
    ],
)
def test_real_data_sets_are_indexed_whole(
    shared: Path, workspace: Workspace, folder: str, split: str, images: int, faces: int
):
    root = shared / "real" / folder
    assert split in find_splits(root)
    update = update_index(workspace, root, split)
    assert (len(update.index.ok_rows), update.unreadable) == (images, [])
    assert sum(len(row.faces) for row in update.index.rows(0, images)) == faces
    assert update_index(workspace, root, split).is_written is False


def test_pictures_that_no_annotation_lists_are_counted_and_one_is_named(workspace: Workspace, data: DataSet):
    assert not _update(workspace, data).notes
    data.draw("a/extra.jpg")
    data.draw("a/more.jfif.jpg")
    (note,) = _update(workspace, data).notes
    assert note == f"2 pictures left out, such as a/extra.jpg: not listed in {data.text}"


def test_annotations_in_another_folder_than_the_usual_one_are_told(workspace: Workspace, data: DataSet):
    deeper = data.text.parent / "wider_face_split" / data.text.name
    deeper.parent.mkdir()
    data.text.rename(deeper)
    update = _update(workspace, data)
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
