"""A worker reads the rows of its block from a large index, not the index."""

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipeline.dataset.index import ImageRow, IndexPart, planned_index, planned_rows
from pipeline.dataset.index_file import (
    Header,
    images_digest,
    labels_digest,
    read_index_part,
    write_index_file,
)
from pipeline.errors import UserError
from pipeline.workspace.layout import Workspace


@pytest.fixture(autouse=True)
def no_index_kept() -> None:
    planned_index.cache_clear()


def made_up_row(number: int) -> ImageRow:
    num_faces = number % 3
    return ImageRow(
        number, f"event/{number}.jpg", 40, 30, hashlib.sha256(str(number).encode()).hexdigest(), 100, number, "ok", "",
        np.full((num_faces, 4), number, np.float32), np.ones(num_faces, np.bool_), np.zeros((num_faces, 6), np.int8),
    )  # fmt: skip


def same_row(one: ImageRow, other: ImageRow) -> bool:
    return (one.row, one.path, one.sha256) == (other.row, other.path, other.sha256) and np.array_equal(
        one.faces, other.faces
    )


def test_a_block_reads_its_own_rows_of_a_large_index_and_no_others(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    rows = [made_up_row(number) for number in range(2500)]
    header = Header("val", "/data", "images", "")
    write_index_file(workspace.index("val"), header, rows)
    digest = images_digest(rows)
    for start, stop in ((0, 4), (1020, 1030), (2048, 2500), (2496, 2500)):
        part = planned_rows(workspace, "val", digest, start, stop)
        assert isinstance(part, IndexPart)
        for number in (start, stop - 1):
            assert same_row(part.row(number), rows[number])
        assert part.image_path(start) == Path("/data/images") / rows[start].path
        with pytest.raises(IndexError):
            part.row(stop)
        with pytest.raises(IndexError):
            part.row(start - 1)


def test_a_part_is_given_only_with_the_labels_that_were_asked_for(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    rows = [made_up_row(number) for number in range(6)]
    path, digest = workspace.index("val"), images_digest(rows)
    write_index_file(path, Header("val", "/data", "images", ""), rows)
    found = read_index_part(path, digest, 2, 4, labels_digest(rows))
    assert found is not None
    assert [row.row for row in found[1]] == [2, 3]
    # the same images, one of them with one face less
    rows[4] = replace(rows[4], faces=rows[3].faces, is_valid=rows[3].is_valid, attributes=rows[3].attributes)
    assert images_digest(rows) == digest
    assert read_index_part(path, digest, 2, 4, labels_digest(rows)) is None


def test_a_part_of_a_damaged_or_other_index_is_not_taken(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    rows = [made_up_row(number) for number in range(1500)]
    path = workspace.index("val")
    write_index_file(path, Header("val", "/data", "images", ""), rows)
    with pytest.raises(UserError, match="sees another index of val"):
        planned_rows(workspace, "val", "0" * 64, 0, 4)
    data = bytearray(path.read_bytes())
    middle = len(data) // 4
    data[middle] ^= 1
    path.write_bytes(data)
    with pytest.raises(UserError, match="damaged"):
        planned_rows(workspace, "val", images_digest(rows), 0, 1500)
