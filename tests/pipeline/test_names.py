"""Names that other programs wrote for an image: which image they mean, and when that is not clear."""

import unicodedata
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wider_folder import Picture, write_data_set, write_mats

from pipeline.dataset.index import load_index, update_index
from pipeline.dataset.landmarks import read_landmarks
from pipeline.dataset.names import could_be_named, image_name, match_names, text_names, without_ending
from pipeline.errors import UserError
from pipeline.ground_truth.truth import find_ground_truth, load_ground_truth, overlap
from pipeline.workspace.layout import Workspace

FOLDER = "WIDER_val/images"
NFC, NFD = "caf\u00e9", "cafe\u0301"


def meant(foreign: str, *known: str) -> str | None:
    return match_names([foreign], known, FOLDER).found.get(foreign)


@pytest.mark.parametrize(
    "foreign",
    [
        "e/a.jpg",
        "e\\a.jpg",
        "./e/a.jpg",
        ".\\e\\a.jpg",
        "e//a.jpg",
        "WIDER_val/images/e/a.jpg",
        "WIDER_val\\images\\e\\a.jpg",
        "/data/WIDER_FACE/WIDER_val/images/e/a.jpg",
        "C:\\data\\WIDER_val\\images\\e\\a.jpg",
        "/other/place/e/a.jpg",
        "D:\\place\\e\\a.jpg",
        "e/a",
        "e/a.png",
        "E/A.JPG",
        "a.jpg",
        "a",
    ],
)
def test_slashes_dots_folders_endings_and_case_do_not_matter_where_one_image_fits(foreign: str) -> None:
    assert meant(foreign, "e/a.jpg", "e/b.jpg") == "e/a.jpg"


@pytest.mark.parametrize(("foreign", "known"), [(NFC, NFD), (NFD, NFC)])
def test_the_unicode_form_does_not_matter(foreign: str, known: str) -> None:
    assert meant(f"e/{foreign}.jpg", f"e/{known}.jpg") == f"e/{known}.jpg"
    assert meant(f"e/{foreign}", f"e/{known}.jpg") == f"e/{known}.jpg"
    assert meant(f"e/{foreign}.jpg", f"e/{known}") == f"e/{known}"


@pytest.mark.parametrize("foreign", ["x/a.jpg", "e/a.b", "e/ab.jpg", "f/e/a.jpg", "", ".", "e", "e/", "jpg"])
def test_another_name_is_unknown(foreign: str) -> None:
    assert match_names([foreign], ["e/a.jpg"], FOLDER).unknown == (foreign,)


@pytest.mark.parametrize("name", ["scan.png.jpg", "IMG_7.JPG.jpeg", "a.jpg.jpg.jpg", "a.b.jpg"])
def test_at_most_one_ending_is_dropped_and_only_where_the_longer_name_is_unknown(name: str) -> None:
    stem = without_ending(name)
    assert meant(stem, name) == name
    assert meant(name, stem) == stem
    assert meant(stem, name, stem) == stem
    assert meant(name, stem, name) == name
    assert meant(name, without_ending(stem)) == (
        without_ending(stem) if without_ending(stem) == stem else None
    )


def test_a_name_that_is_spelled_exactly_wins() -> None:
    names = ["a.jpg", "A.jpg", "a.png", "a", f"{NFC}.jpg", f"{NFD}.jpg", "a.jpg.jpg"]
    assert match_names(names, names).found == {name: name for name in names}


def test_a_name_that_fits_two_images_is_ambiguous_and_both_are_told() -> None:
    assert match_names(["a"], ["a.jpg", "a.png"]).ambiguous == {"a": ("a.jpg", "a.png")}
    assert match_names(["A.JPG"], ["a.jpg", "a.Jpg"]).ambiguous == {"A.JPG": ("a.jpg", "a.Jpg")}
    assert match_names(["a.jpg"], ["e/a.jpg", "f/a.jpg"]).ambiguous == {"a.jpg": ("e/a.jpg", "f/a.jpg")}


def test_two_spellings_of_one_image_are_told() -> None:
    assert match_names(["e/a.jpg", "e\\a.jpg"], ["e/a.jpg"]).doubled == {"e\\a.jpg": "e/a.jpg"}
    assert match_names(["e/a", "e/a.jpg"], ["e/a.jpg"]).doubled in ({"e/a": "e/a.jpg"}, {"e/a.jpg": "e/a"})


def test_a_likeness_gives_way_to_the_image_itself() -> None:
    found = match_names(["e/a.png", "e/a.jpg", "e/A.jpg"], ["e/a.jpg"])
    assert found.found == {"e/a.jpg": "e/a.jpg"}
    assert set(found.unknown) == {"e/a.png", "e/A.jpg"}


NAMES = st.lists(
    st.from_regex(r"([ab]/)?[aAé\u0301.]{1,3}(\.jpg|\.JPG|\.png){0,2}\.(jpg|jpeg|png)", fullmatch=True),
    min_size=1,
    max_size=6,
    unique=True,
)


@settings(max_examples=300, deadline=None)
@given(NAMES)
def test_every_name_means_itself_whatever_others_there_are(names: list[str]) -> None:
    assert match_names(names, names).found == {name: name for name in names}
    texts = text_names(names)
    assert sorted(texts.values()) == sorted(names)
    assert match_names(texts, texts).found == {name: name for name in texts}


@settings(max_examples=300, deadline=None)
@given(NAMES, NAMES)
def test_no_two_names_mean_one_image_and_each_has_one_answer(foreign: list[str], known: list[str]) -> None:
    found = match_names(foreign, known)
    assert len(set(found.found.values())) == len(found.found)
    answers = [*found.found, *found.unknown, *found.ambiguous, *found.doubled]
    assert sorted(answers) == sorted(foreign)


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=20), st.text(max_size=20))
def test_any_text_is_a_name(foreign: str, known: str) -> None:
    match_names([foreign], [known], known)
    could_be_named(foreign, known)
    image_name(foreign)


# --------------------------------------------------------------------- annotations, ground truth, landmarks


def _renamed(root: Path, old: str, new: str) -> None:
    images = root / "WIDER_val" / "images"
    (images / new).parent.mkdir(parents=True, exist_ok=True)
    (images / old).rename(images / new)


@pytest.mark.parametrize(
    ("listed", "there"),
    [(NFC, NFD), (NFD, NFC), ("a", "A"), ("f/a", "F/a")],
    ids=["composed", "decomposed", "case", "case of a folder"],
)
def test_an_annotated_image_is_found_under_another_unicode_form_or_case(
    tmp_path: Path, listed: str, there: str
) -> None:
    data = write_data_set(tmp_path / "data", [Picture("e", listed, [(1, 2, 9, 9)]), Picture("e", "b")])
    _renamed(data, f"e/{listed}.jpg", f"e/{there}.jpg")
    index = update_index(Workspace(tmp_path / "w"), data, "val").index
    assert [(row.path, row.status, len(row.faces)) for row in index.all_rows] == [
        (f"e/{there}.jpg", "ok", 1),
        ("e/b.jpg", "ok", 0),
    ]


def test_an_annotated_image_is_not_taken_for_one_that_is_listed_itself(tmp_path: Path) -> None:
    data = write_data_set(tmp_path / "data", [Picture("e", "a"), Picture("e", "A")])
    (data / "WIDER_val" / "images" / "e" / "a.jpg").unlink()
    index = update_index(Workspace(tmp_path / "w"), data, "val").index
    assert {row.path: row.status for row in index.all_rows} == {"e/a.jpg": "missing", "e/A.jpg": "ok"}


def test_official_ground_truth_is_matched_in_another_unicode_form(tmp_path: Path) -> None:
    composed = unicodedata.normalize("NFC", NFC)
    data = write_data_set(tmp_path / "data", [Picture("e", NFD, [(1, 2, 9, 9)])])
    write_mats(data / "ground_truth", [Picture("e", composed, [(1, 2, 9, 9)])])
    index = update_index(Workspace(tmp_path / "w"), data, "val").index
    assert overlap(load_ground_truth(index), index).images == (0,)


def test_ground_truth_of_double_endings_is_that_of_each_image(tmp_path: Path) -> None:
    pictures = [Picture("e", "scan.jpg", [(1, 2, 9, 9)]), Picture("e", "scan"), Picture("e", "scan.jpg.png")]
    data = write_data_set(tmp_path / "data", pictures)
    write_mats(data / "ground_truth", pictures[::-1])
    index = update_index(Workspace(tmp_path / "w"), data, "val").index
    assert overlap(load_ground_truth(index), index).images == (2, 1, 0)


def test_two_images_that_are_one_to_the_ground_truth_are_named(tmp_path: Path) -> None:
    data = write_data_set(tmp_path / "data", [Picture("e", "a"), Picture("e", "a", ending=".png")])
    with pytest.raises(UserError, match=r"lists e/a\.jpg and e/a\.png, which are both the image e/a"):
        find_ground_truth(data)


def test_landmarks_are_matched_in_another_unicode_form(tmp_path: Path) -> None:
    data = write_data_set(tmp_path / "data", [Picture("e", NFD, [(1, 2, 9, 9)])])
    update_index(Workspace(tmp_path / "w"), data, "val")
    path = tmp_path / "landmarks.txt"
    path.write_text(f"# e\\{NFC}.jpg\n1 2 9 9 " + "3 4 0 " * 5 + "\n", encoding="utf-8-sig")
    found = read_landmarks(path, load_index(Workspace(tmp_path / "w"), "val").all_rows)
    np.testing.assert_array_equal(found[0], [[[3, 4]] * 5])
