"""The index: rows never move, only what changed is read again, and bad files stop nothing."""

import os
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from indexed_data import DataSet, counts, facts, three_images, updated

from pipeline.dataset import index, index_scan
from pipeline.dataset.index import load_index, update_index
from pipeline.dataset.splits import find_splits
from pipeline.errors import UserError
from pipeline.workspace.layout import Workspace


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "run")


@pytest.fixture
def data(tmp_path: Path) -> DataSet:
    return three_images(tmp_path / "data")


def test_rows_come_in_the_order_of_the_annotation_file_with_size_hash_and_labels(
    workspace: Workspace, data: DataSet
):
    update = updated(workspace, data)
    index = update.index
    assert counts(update) == (3, 0, 0, 0)
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
    updated(workspace, data)
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
    first = updated(workspace, data)
    before = workspace.index("val").stat()
    monkeypatch.setattr(index_scan, "read_bytes", lambda path, *limit: pytest.fail(f"read {path}"))
    monkeypatch.setattr(
        index, "annotations_in", lambda text, files: pytest.fail(f"parsed {files.annotations}")
    )
    again = updated(workspace, data)
    assert counts(again) == (0, 0, 0, 0)
    assert again.index.labels_digest == first.index.labels_digest
    assert (first.is_written, again.is_written) == (True, False)
    after = workspace.index("val").stat()
    assert (before.st_mtime_ns, before.st_ino) == (after.st_mtime_ns, after.st_ino)
    assert again.index.digest == first.index.digest


def test_an_image_whose_file_is_spelled_otherwise_now_is_found_though_the_text_is_the_same(
    workspace: Workspace, data: DataSet
):
    data.add("0--Parade/Ren\u00e9.jpg", "1 2 3 4 0 0 0 0 0 0")
    updated(workspace, data)
    (data.folder / "0--Parade" / "Ren\u00e9.jpg").rename(data.folder / "0--Parade" / "Rene\u0301.jpg")
    again = updated(workspace, data)
    (found,) = (row for row in again.index.all_rows if row.path == "0--Parade/Rene\u0301.jpg")
    assert (found.status, found.faces.tolist()) == ("ok", [[1, 2, 4, 6]])


def test_only_the_changed_image_is_read_again(
    workspace: Workspace, data: DataSet, monkeypatch: pytest.MonkeyPatch
):
    before = updated(workspace, data).index
    data.draw("a/2.jpg", seed=9, size=(11, 22))
    read: list[str] = []
    real = index_scan.read_bytes
    monkeypatch.setattr(
        index_scan, "read_bytes", lambda path, *limit: (read.append(path.name), real(path))[1]
    )
    update = updated(workspace, data)
    assert read == ["2.jpg"]
    assert counts(update) == (0, 1, 0, 0)
    assert (update.index.row(1).width, update.index.row(1).height) == (22, 11)
    changed = [a != b for a, b in zip(before.row_digests, update.index.row_digests, strict=True)]
    assert changed == [False, True, False]
    assert update.index.digest != before.digest
    assert update.index.labels_digest == before.labels_digest


def test_a_touched_file_with_the_same_bytes_is_no_change(workspace: Workspace, data: DataSet):
    before = updated(workspace, data).index
    os.utime(data.folder / "a/2.jpg", ns=(1, 1))
    update = updated(workspace, data)
    assert counts(update) == (0, 0, 0, 0)
    assert update.index.digest == before.digest
    assert update.index.row(1).mtime_ns == 1


def test_one_flipped_byte_in_an_image_that_still_decodes_is_a_change(workspace: Workspace, data: DataSet):
    updated(workspace, data)
    path = data.folder / "a/3.jpg"
    damaged = bytearray(path.read_bytes())
    position = next(i for i in range(len(damaged) // 2, len(damaged)) if damaged[i - 1] < 128 > damaged[i])
    damaged[position] ^= 1
    path.write_bytes(damaged)
    update = updated(workspace, data)
    assert counts(update) == (0, 1, 0, 0)


def test_new_images_get_rows_at_the_end_and_old_rows_never_move(workspace: Workspace, data: DataSet):
    before = updated(workspace, data).index
    data.records = {"c/0.jpg": [], **data.records}  # listed first
    data.add("c/0.jpg", seed=4).add("a/4.jpg", seed=5)
    update = updated(workspace, data)
    assert counts(update) == (2, 0, 0, 0)
    assert [row.path for row in update.index.rows(0, 9)] == [
        "b/1.jpg",
        "a/2.jpg",
        "a/3.jpg",
        "c/0.jpg",
        "a/4.jpg",
    ]
    assert facts(update.index)[:3] == facts(before)


def test_an_image_no_longer_listed_keeps_its_row_and_comes_back_to_it(workspace: Workspace, data: DataSet):
    before = updated(workspace, data).index
    faces = data.records.pop("b/1.jpg")
    data.add("a/4.jpg", seed=4)
    without = updated(workspace, data)
    assert counts(without) == (1, 0, 0, 1)
    assert (without.index.row(0).path, without.index.row(0).status) == ("b/1.jpg", "removed")
    assert "no longer listed" in without.index.row(0).reason
    assert without.index.ok_rows == (1, 2, 3)
    assert without.index.row_digests[0] == ""
    assert without.unreadable == []
    assert updated(workspace, data).is_written is False
    data.list("b/1.jpg", *faces)
    back = updated(workspace, data)
    assert counts(back) == (0, 1, 0, 0)
    assert facts(back.index)[:3] == facts(before)


def test_new_labels_change_the_labels_digest_and_nothing_else(workspace: Workspace, data: DataSet):
    before = updated(workspace, data).index
    data.list("a/2.jpg", "1 1 5 5 0 0 0 0 0 0")
    update = updated(workspace, data)
    assert counts(update) == (0, 0, 1, 0)
    assert update.index.digest == before.digest
    assert update.index.labels_digest != before.labels_digest
    assert update.is_written


def test_bad_images_are_reported_by_name_and_stop_nothing(workspace: Workspace, data: DataSet):
    cut = data.folder / "a/cut.jpg"
    data.add("a/cut.jpg", "1 1 5 5 0 0 0 0 0 0").list("a/gone.jpg", "2 2 5 5 0 0 0 0 0 0").list("a/page.jpg")
    cut.write_bytes(cut.read_bytes()[:-200])
    (data.folder / "a/page.jpg").write_text("404 Not Found")
    data.add("a/after.jpg", seed=7)
    update = updated(workspace, data)
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
    again = updated(workspace, data)  # said again, though nothing changed
    assert (again.unreadable, again.is_written) == (update.unreadable, False)


def test_a_mended_image_becomes_ok_in_its_row_and_a_damaged_one_stops_being(
    workspace: Workspace, data: DataSet
):
    good = (data.folder / "a/2.jpg").read_bytes()
    before = updated(workspace, data).index
    (data.folder / "a/2.jpg").write_bytes(good[:200])
    damaged = updated(workspace, data)
    assert (counts(damaged), damaged.index.ok_rows) == ((0, 1, 0, 0), (0, 2))
    (data.folder / "a/2.jpg").unlink()
    gone = updated(workspace, data)
    assert (counts(gone), gone.index.row(1).status) == ((0, 1, 0, 0), "missing")
    (data.folder / "a/2.jpg").write_bytes(good)
    mended = updated(workspace, data)
    assert (counts(mended), mended.index.ok_rows) == ((0, 1, 0, 0), (0, 1, 2))
    assert mended.index.digest == before.digest


def test_an_absent_index_is_an_error_that_lists_those_there_are(workspace: Workspace, data: DataSet):
    with pytest.raises(UserError, match=r"no index of the split 'val' \(it has: none\)"):
        load_index(workspace, "val")
    updated(workspace, data)
    with pytest.raises(
        UserError, match=r"no index of the split 'train' \(it has: val\): .*crface dataset index"
    ):
        load_index(workspace, "train")


def test_a_damaged_index_is_never_taken_for_a_sound_one(workspace: Workspace, data: DataSet):
    sound = facts(updated(workspace, data).index)
    path = workspace.index("val")
    good = path.read_bytes()
    noticed = 0
    for position in range(0, len(good), 23):
        path.write_bytes(good[:position] + bytes([good[position] ^ 0x10]) + good[position + 1 :])
        try:
            assert facts(load_index(workspace, "val")) == sound  # a byte that says nothing
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
    updated(workspace, data)
    path = workspace.index("val")
    table = pq.read_table(path)
    pq.write_table(table.replace_schema_metadata({**table.schema.metadata, b"schema_version": b"7"}), path)
    with pytest.raises(UserError, match="has schema version 7, this crface reads 1"):
        load_index(workspace, "val")
    pq.write_table(table.replace_schema_metadata({}), path)
    with pytest.raises(UserError, match="is damaged or no index"):
        load_index(workspace, "val")


def test_rows_beyond_the_index_do_not_exist(workspace: Workspace, data: DataSet):
    index = updated(workspace, data).index
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
