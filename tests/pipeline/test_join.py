"""Joined data sets: every image and label of each, under names that say where they are from."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.dataset.annotations import parse_annotations
from pipeline.dataset.join import join
from pipeline.dataset.splits import find_splits, read_annotations, split_files
from pipeline.errors import UsageError, UserError


def a_set(root: Path, split: str, labels: dict[str, str] | None, images: tuple[str, ...] = ()) -> Path:
    """A data set with images of these names, and with `labels` a text of their records."""
    for name in labels or images:
        path = root / f"WIDER_{split}" / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(f"pixels of {root.name} {name}".encode())
    if labels is not None:
        text = root / "wider_face_split" / f"wider_face_{split}_bbx_gt.txt"
        text.parent.mkdir(parents=True, exist_ok=True)
        text.write_text("".join(f"{name}\n{faces}\n" for name, faces in labels.items()))
    return root


def labels_of(root: Path, split: str) -> dict[str, tuple[list[list[float]], list[list[int]]]]:
    annotations = read_annotations(split_files(root, split))
    assert annotations is not None
    return {one.path: (one.faces.tolist(), one.attributes.tolist()) for one in annotations}


def test_a_split_has_the_images_and_labels_of_all_its_data_sets(tmp_path: Path):
    crowds = a_set(
        tmp_path / "crowds", "train", {"0--Parade/a.jpg": "1\n1 2 3 4 2 0 0 0 1 0", "b.png": "0\n0 0 0 0"}
    )
    desk = a_set(tmp_path / "desk", "train", {"0--Parade/a.jpg": "2\n5.5 6 7.25 8\n9 9 9 9"})
    a_set(desk, "val", {"c.jpg": "0"})
    joined = join([crowds, desk], tmp_path / "out" / "both")
    assert [(one.split, one.num_images, one.num_faces, one.sources) for one in joined.splits] == [
        ("train", 3, 3, ["crowds", "desk"]),
        ("val", 1, 0, ["desk"]),
    ]
    assert joined.notes == ()
    assert find_splits(joined.root) == ["train", "val"]
    assert labels_of(joined.root, "train") == {
        "crowds-0--Parade/a.jpg": ([[1, 2, 4, 6]], [[2, 0, 0, 0, 1, 0]]),
        "crowds/b.png": ([], []),
        "desk-0--Parade/a.jpg": ([[5.5, 6, 12.75, 14], [9, 9, 18, 18]], [[0] * 6, [0] * 6]),
    }
    images = joined.root / "WIDER_train" / "images"
    assert (images / "desk-0--Parade" / "a.jpg").read_bytes() == b"pixels of desk 0--Parade/a.jpg"
    assert labels_of(joined.root, "val") == {"desk/c.jpg": ([], [])}
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["both"]


@given(st.lists(st.tuples(*[st.floats(0, 1e5, width=32)] * 4), min_size=1, max_size=5))
def test_labels_stay_the_same_to_the_last_bit(
    tmp_path_factory: pytest.TempPathFactory, boxes: list[tuple[float, ...]]
):
    folder = tmp_path_factory.mktemp("bits")
    rows = "\n".join(" ".join(map(repr, box)) for box in boxes)
    source = a_set(folder / "one", "train", {"a.jpg": f"{len(boxes)}\n{rows}"})
    (before,) = labels_of(source, "train").values()
    (after,) = labels_of(join([source], folder / "joined").root, "train").values()
    np.testing.assert_array_equal(np.float32(after[0]), np.float32(before[0]))


def test_data_sets_of_one_name_are_numbered(tmp_path: Path):
    sources = [a_set(tmp_path / place / "faces", "val", {"a.jpg": "0"}) for place in ("x", "y")]
    joined = join(sources, tmp_path / "both")
    assert set(labels_of(joined.root, "val")) == {"faces/a.jpg", "faces-2/a.jpg"}


def test_a_split_without_labels_is_left_out_where_another_has_them_and_kept_where_none_has(tmp_path: Path):
    labelled = a_set(tmp_path / "labelled", "train", {"a.jpg": "0"})
    bare = a_set(tmp_path / "bare", "train", None, ("b.jpg",))
    a_set(bare, "test", None, ("c.jpg",))
    joined = join([labelled, bare], tmp_path / "both")
    assert [(one.split, one.num_images, one.is_labelled) for one in joined.splits] == [
        ("train", 1, True),
        ("test", 1, False),
    ]
    assert joined.notes == ("train of bare is left out: others have labels there, it has none",)


def test_what_cannot_be_joined_is_said(tmp_path: Path):
    source = a_set(tmp_path / "set", "train", {"a.jpg": "0", "gone.jpg": "0"})
    (source / "WIDER_train" / "images" / "gone.jpg").unlink()
    (source / "wider_face_split" / "wider_easy_val.mat").write_bytes(b"")
    first, second = join([source], tmp_path / "joined").notes
    assert first == f"1 of the 2 images that {source} lists in train are not there"
    assert second.startswith(f"the official settings of {source} are left out")


def test_a_wrong_request_writes_nothing(tmp_path: Path):
    source = a_set(tmp_path / "set", "train", {"a.jpg": "0"})
    (tmp_path / "link").symlink_to(source)
    plain = tmp_path / "plain"
    plain.mkdir()
    (plain / "a.jpg").write_bytes(b"")
    broken = a_set(tmp_path / "broken", "train", {"a.jpg": "many"})
    for sources, reason in (
        ([source, tmp_path / "link"], "given twice"),
        ([source, plain], "a plain folder of images"),
        ([source, tmp_path / "none"], "does not exist"),
        ([source, broken], "no count of faces follows"),
    ):
        with pytest.raises(UserError, match=reason):
            join(sources, tmp_path / "out")
    with pytest.raises(UsageError, match="is not empty"):
        join([source], plain)
    names = {"set", "link", "plain", "broken"}
    assert {path.name for path in tmp_path.iterdir()} == names
    assert parse_annotations(
        (source / "wider_face_split" / "wider_face_train_bbx_gt.txt").read_bytes(), "text"
    )
