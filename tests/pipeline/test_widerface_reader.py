"""The annotation text of WIDER FACE: its quirks are read, all else is one sentence with a line number."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.dataset.annotations import Annotation, parse_annotations
from pipeline.errors import UserError

TEXT = """0--Parade/one.jpg
2
10 20 30 40 2 1 0 0 2 1
5 6 7 8 0 0 0 1 0 0
0--Parade/none.jpg
0
0 0 0 0 0 0 0 0 0 0
9--Press/last.jpg
1
-3 0 12 9 0 0 1 0 0 0
"""


def _parse(text: str) -> list[Annotation]:
    return parse_annotations(text.encode(), "labels.txt")


def _complaint(text: str | bytes) -> str:
    with pytest.raises(UserError) as caught:
        parse_annotations(text if isinstance(text, bytes) else text.encode(), "labels.txt")
    assert str(caught.value).startswith("labels.txt")
    assert "\n" not in str(caught.value)
    return str(caught.value)


def _plain(annotations: list[Annotation]) -> list[tuple[object, ...]]:
    return [(a.path, a.faces.tolist(), a.attributes.tolist(), a.is_valid.tolist()) for a in annotations]


def test_boxes_become_corners_and_attributes_keep_their_order():
    first, none, last = _parse(TEXT)
    assert first.path == "0--Parade/one.jpg"
    assert first.faces.dtype == np.float32
    np.testing.assert_array_equal(first.faces, [[10, 20, 40, 60], [5, 6, 12, 14]])
    np.testing.assert_array_equal(first.attributes, [[2, 1, 0, 0, 2, 1], [0, 0, 0, 1, 0, 0]])
    assert none.faces.shape == (0, 4)
    assert none.attributes.shape == (0, 6)
    np.testing.assert_array_equal(last.faces, [[-3, 0, 9, 9]])


def test_flagged_and_flat_faces_are_kept_but_do_not_count():
    text = "a.jpg\n4\n1 1 5 5 0 0 0 0 0 0\n1 1 5 5 0 0 0 1 0 0\n1 1 0 5 0 0 0 0 0 0\n1 1 5 0 0 0 0 0 0 0\n"
    (image,) = _parse(text)
    assert image.is_valid.tolist() == [True, False, False, False]
    assert len(image.faces) == 4


def test_an_image_without_faces_may_lack_its_line_of_zeros():
    assert _plain(_parse(TEXT.replace("0 0 0 0 0 0 0 0 0 0\n", ""))) == _plain(_parse(TEXT))


def test_an_image_without_faces_may_be_the_last_one_either_way():
    for ending in ("0", "0\n", "0\n0 0 0 0 0 0 0 0 0 0", "0\n0 0 0 0\n"):
        assert _plain(_parse("a.jpg\n" + ending)) == [("a.jpg", [], [], [])]


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("\n", "\r\n"),
        lambda text: text.replace("\n", " \t\n"),
        lambda text: text + "\n\n \n",
        lambda text: text.removesuffix("\n"),
        lambda text: "\ufeff" + text,
        lambda text: text.replace(" ", "  "),
        lambda text: text.replace("10 20", "10.0 2e1"),
        lambda text: text.replace("0--Parade/one", "./0--Parade//one"),
    ],
    ids=[
        "crlf",
        "trailing blanks",
        "blank lines",
        "no last newline",
        "bom",
        "wide",
        "decimals",
        "untidy path",
    ],
)
def test_harmless_variations_read_the_same(change):
    assert _plain(_parse(change(TEXT))) == _plain(_parse(TEXT))


def test_rows_of_four_columns_have_attributes_of_zero():
    (image,) = _parse("a.jpg\n1\n1.5 2.5 3 4\n")
    np.testing.assert_array_equal(image.faces, [[1.5, 2.5, 4.5, 6.5]])
    np.testing.assert_array_equal(image.attributes, np.zeros((1, 6)))


def test_an_empty_file_has_no_images():
    assert _parse("") == []
    assert _parse("\r\n\n") == []


def test_names_may_hold_spaces_and_any_letters():
    assert _parse("0--Fête/à la plage 1.jpg\n0\n")[0].path == "0--Fête/à la plage 1.jpg"


@pytest.mark.parametrize(
    "name",
    [
        "/etc/passwd",
        "../secret.jpg",
        "a/../../secret.jpg",
        "a/..",
        "..\\secret.jpg",
        "a\\b.jpg",
        "C:/windows/a.jpg",
        "c:a.jpg",
        "a\0.jpg",
        ".",
    ],
)
def test_names_that_could_leave_the_image_folder_are_refused(name: str):
    complaint = _complaint(f"ok.jpg\n0\n{name}\n0\n")
    assert "line 3" in complaint
    assert "refused" in complaint


@pytest.mark.parametrize(
    "name", ["..a.jpg", "a..b/c.jpg", "a/...jpg", "~/a.jpg", "%2e%2e/a.jpg", "C/D:.jpg", "1--e"]
)
def test_names_that_only_look_dangerous_are_names(name: str):
    assert _parse(f"{name}\n0\n")[0].path == name


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("a.jpg\n2\n1 1 5 5\nb.jpg\n0\n", 4, "expected a face of a.jpg, found 'b.jpg'"),
        ("a.jpg\n1\n1 1 5 5\n2 2 5 5\nb.jpg\n0\n", 4, "expected an image's name, found numbers"),
        ("a.jpg\n0\n1 1 5 5 0 0 0 0 0 0\n", 3, "expected an image's name, found numbers"),
        ("a.jpg\n1 1 5 5\n", 1, "no count of faces follows"),
        ("a.jpg\nb.jpg\n0\n", 1, "no count of faces follows"),
        ("a.jpg\n-1\n", 1, "no count of faces follows"),
        ("b.jpg\n0\na.jpg\n", 3, "no count of faces follows"),
        ("a.jpg\n1\n1 1 5\n", 3, "3 columns"),
        ("a.jpg\n1\n1 1 5 5 0 0 0 0 0\n", 3, "9 columns"),
        ("a.jpg\n1\n1 1 5 5 0 0 0 0 0 0 0\n", 3, "11 columns"),
        ("a.jpg\n2\n1 1 5 5\n1 one 5 5\n", 4, "not all numbers"),
        ("a.jpg\n1\n1 1 nan 5\n", 3, "no finite numbers"),
        ("a.jpg\n1\n1 1 5 inf\n", 3, "no finite numbers"),
        ("a.jpg\n1\n1000001 1 5 5\n", 3, "no finite numbers below a million"),
        ("a.jpg\n1\n1 1 1e300 5\n", 3, "no finite numbers below a million"),
        ("a.jpg\n1\n9 9 -4 5\n", 3, "negative width or height"),
        ("a.jpg\n1\n1 1 5 5 0.5 0 0 0 0 0\n", 3, "no small whole numbers"),
        ("a.jpg\n1\n1 1 5 5 nan 0 0 0 0 0\n", 3, "no small whole numbers"),
        ("a.jpg\n1\n1 1 5 5 300 0 0 0 0 0\n", 3, "no small whole numbers"),
    ],
)
def test_everything_else_is_one_sentence_with_its_line(text: str, line: int, words: str):
    complaint = _complaint(text)
    assert f"line {line}:" in complaint
    assert words in complaint


def test_a_cut_file_says_what_it_lacks():
    assert "ends after 1 of the 3 faces of a.jpg" in _complaint("a.jpg\n3\n1 1 5 5\n")
    assert "no count of faces" in _complaint("a.jpg\n99999999999999999999\n")


def test_an_image_listed_twice_is_refused():
    assert "lists the image a/b.jpg twice" in _complaint("a/b.jpg\n0\na//b.jpg\n0\n")


def test_bytes_that_are_no_text_are_refused():
    assert "is not UTF-8 text (byte 1)" in _complaint(b"a\xff\xfe\x00")


_NUMBERS = st.integers(0, 5000)
_RECORDS = st.dictionaries(
    st.from_regex(r"[a-z]{1,5}(/[a-z]{1,5})?\.jpg", fullmatch=True),
    st.lists(st.tuples(*[_NUMBERS] * 4, *[st.integers(0, 2)] * 6), max_size=4),
    max_size=5,
)


@given(records=_RECORDS)
@settings(max_examples=60, deadline=None)
def test_whatever_is_written_in_the_format_is_read_back(records: dict[str, list[tuple[int, ...]]]):
    lines: list[str] = []
    for name, rows in records.items():
        lines += [name, str(len(rows)), *(" ".join(map(str, row)) + " " for row in rows or [(0,) * 10])]
    parsed = _parse("\n".join(lines) + "\n")
    assert [image.path for image in parsed] == list(records)
    for image, rows in zip(parsed, records.values(), strict=True):
        expected = [[x, y, x + w, y + h] for x, y, w, h, *_ in rows]
        assert image.faces.tolist() == expected
        assert image.attributes.tolist() == [list(row[4:]) for row in rows]
        assert image.is_valid.tolist() == [row[7] == 0 and row[2] > 0 and row[3] > 0 for row in rows]


@pytest.mark.parametrize(
    ("file", "images", "faces"),
    [
        ("facemask/wider_face_split/wider_face_train_bbx_gt.txt", 428, 1840),
        ("facemask/wider_face_split/wider_face_val_bbx_gt.txt", 261, 1379),
        ("wider_val_restored/wider_face_split/wider_face_val_bbx_gt.txt", 100, 1672),
    ],
)
def test_real_annotation_files_hold_what_is_known_of_them(shared: Path, file: str, images: int, faces: int):
    path = shared / "real" / file
    annotations = parse_annotations(path.read_bytes(), path)
    assert len(annotations) == images
    assert sum(len(annotation.faces) for annotation in annotations) == faces
