"""Text results: what is read as found in the wild, every mistake with file, line and reason, and what is written."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pipeline.errors import UserError
from pipeline.formats.widerface_text import (
    TextResults,
    count_problems,
    find_results,
    read_results,
    write_results,
)

NAMES = ("0--Parade/a", "0--Parade/b.c", "1--Riot/d")
GOOD = "0--Parade/a.jpg\n2\n1 2 3 4 0.9\n5 6 7 8 0.5\n"


def read(folder: Path, files: dict[str, str | bytes], *, is_lenient: bool = False) -> TextResults:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode() if isinstance(text, str) else text)
    return read_results(find_results(folder, NAMES), is_lenient=is_lenient)


# ------------------------------------------------------------------------------------ as found in the wild


@pytest.mark.parametrize(
    "text",
    [
        GOOD,
        GOOD.replace("\n", "\r\n"),
        GOOD.replace("0.9", "0.9  ").replace("a.jpg", "a.jpg \t"),
        GOOD + "\n\n",
        GOOD.replace("2\n1", "2\n\n1"),
        GOOD.replace("0.9\n", "0.9\n \t\n"),
        GOOD.rstrip(),
        GOOD.replace(" ", "\t").replace("\t2", "   2"),
        GOOD.replace("0--Parade/", ""),
        GOOD.replace(".jpg", ""),
        GOOD.replace("0--Parade/a.jpg", "a"),
        GOOD.replace("0--Parade", "/somewhere/else/0--Parade"),
        GOOD.replace("0--Parade/", "C:\\results\\0--Parade\\"),
        GOOD.replace("1 2 3 4 0.9", "1.000 2e0 +3 4. .9"),
        b"\xef\xbb\xbf" + GOOD.encode(),
    ],
)
def test_spaces_line_ends_and_forms_of_the_name_do_not_matter(tmp_path: Path, text: str | bytes) -> None:
    found = read(tmp_path, {"0--Parade/a.txt": text})
    assert found.detections["0--Parade/a"].tolist() == [[1, 2, 3, 4, 0.9], [5, 6, 7, 8, 0.5]]
    assert (found.problems, found.num_unsorted) == ((), 0)


def test_an_image_without_detections_is_a_file_with_the_count_0(tmp_path: Path) -> None:
    found = read(tmp_path, {"0--Parade/a.txt": "a\n0\n", "1--Riot/d.txt": "d\n0"})
    assert [rows.shape for rows in found.detections.values()] == [(0, 5), (0, 5)]


def test_names_with_dots_and_files_named_after_the_jpg_are_found(tmp_path: Path) -> None:
    found = read(tmp_path, {"0--Parade/b.c.txt": "b.c\n0\n", "0--Parade/a.jpg.txt": GOOD})
    assert set(found.detections) == {"0--Parade/a", "0--Parade/b.c"}


def test_lines_are_sorted_when_read_and_equal_scores_keep_their_order(tmp_path: Path) -> None:
    found = read(tmp_path, {"0--Parade/a.txt": "a\n3\n1 0 1 1 .5\n2 0 1 1 .9\n3 0 1 1 .5\n"})
    assert found.detections["0--Parade/a"][:, 0].tolist() == [2, 1, 3]
    assert found.num_unsorted == 1


def test_other_files_in_the_folder_are_passed_over(tmp_path: Path) -> None:
    found = read(
        tmp_path, {"0--Parade/a.txt": GOOD, "readme.md": "x", ".cache/x.txt": "x", "0--Parade/.b.txt": "x"}
    )
    assert list(found.detections) == ["0--Parade/a"]


# ------------------------------------------------------------------------------------------------ mistakes

BAD_FILES = [
    (
        "0--Parade/a.txt",
        "a\n1\n1 2 3 0.9\n",
        3,
        "bad line: expected 5 numbers x y w h score, found '1 2 3 0.9'",
    ),
    ("0--Parade/a.txt", "a\n1\n1 2 3 4 5 0.9\n", 3, "bad line"),
    ("0--Parade/a.txt", "a\n2\n1 2 3 4 0.9\n1 2 x 4 0.9\n", 4, "bad line: expected 5 numbers"),
    ("0--Parade/a.txt", "a\n1\n1,2,3,4,0.9\n", 3, "bad line"),
    ("0--Parade/a.txt", "a\n1\n1_0 2 3 4 0.9\n", 3, "bad line"),
    ("0--Parade/a.txt", "a\n1\n1 2 3 4 0.9\r1 2 3 4 0.8\n", 3, "bad line"),
    ("0--Parade/a.txt", b"a\n1\n1 2 3 4 \xff\n", 3, "bad line"),
    (
        "0--Parade/a.txt",
        "a\n3\n1 2 3 4 0.9\n",
        2,
        "wrong count: it says 3 detections, but has 1 lines of them",
    ),
    ("0--Parade/a.txt", "a\n0\n1 2 3 4 0.9\n", 2, "wrong count"),
    ("0--Parade/a.txt", "a\n1\n1 2 3 4 nan\n", 3, "not finite"),
    ("0--Parade/a.txt", "a\n1\n1 inf 3 4 0.5\n", 3, "not finite"),
    ("0--Parade/a.txt", "a\n1\n1 2 -3 4 0.5\n", 3, "negative size"),
    ("0--Parade/a.txt", "1 2 3 4 0.9\n5 6 7 8 0.5\n", 2, "no count: expected the number of lines below"),
    ("0--Parade/a.txt", "b\n0\n", 1, "wrong name: expected the name of the image 0--Parade/a, found 'b'"),
    ("0--Parade/a.txt", "", 1, "empty file"),
    ("0--Parade/a.txt", b"\xff\xfea\n0", 0, "no text: its byte-order mark says utf-16, which it is not"),
    ("0--Parade/z.txt", "z\n0\n", 0, "unknown image: the ground truth has no such image"),
    ("7--Nowhere/a.txt", "a\n0\n", 0, "unknown event: the ground truth has no such event"),
]


@pytest.mark.parametrize(("name", "text", "line", "reason"), BAD_FILES)
def test_a_mistake_is_refused_with_file_line_and_reason(
    tmp_path: Path, name: str, text: str | bytes, line: int, reason: str
) -> None:
    with pytest.raises(UserError) as caught:
        read(tmp_path, {"0--Parade/b.c.txt": "b.c\n1\n9 9 9 9 1\n", name: text})
    where = f" line {line}" if line else ""
    assert f"{tmp_path / name}{where}: {reason}" in str(caught.value)


def test_two_files_of_one_image_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"d.txt: doubled file: d.jpg.txt is of the same image"):
        read(tmp_path, {"1--Riot/d.jpg.txt": "d\n0\n", "1--Riot/d.txt": "d\n0\n"})


def test_many_mistakes_are_counted_by_kind_and_the_first_ones_named(tmp_path: Path) -> None:
    lines = "".join("1 2 3 -4 0.9\n" for _ in range(30))
    with pytest.raises(UserError) as caught:
        read(tmp_path, {"0--Parade/a.txt": f"a\n31\n{lines}"})
    message = str(caught.value)
    assert "(1 x wrong count, 30 x negative size)" in message
    assert message.endswith("and 21 more")
    assert len(message.splitlines()) == 12


def test_leniently_a_bad_line_costs_that_line_and_a_strange_file_that_file(tmp_path: Path) -> None:
    files = {
        "0--Parade/a.txt": "a\n9\n1 2 3 4 0.9\nrubbish\n1 2 3 4 nan\n5 6 7 8 0.5\n",
        "0--Parade/b.c.txt": "other\n1\n9 9 9 9 1\n",
        "7--Nowhere/a.txt": GOOD,
    }
    found = read(tmp_path, files, is_lenient=True)
    assert found.detections["0--Parade/a"][:, 4].tolist() == [0.9, 0.5]
    assert found.detections["0--Parade/b.c"][:, 4].tolist() == [1]
    assert count_problems(found.problems) == {
        "unknown event": 1,
        "wrong name": 1,
        "bad line": 1,
        "not finite": 1,
        "wrong count": 1,
    }


def test_a_wrong_file_shifts_no_rows_of_its_neighbours(tmp_path: Path) -> None:
    # one line too many in a, one too few in b.c: together the number is right
    files = {
        "0--Parade/a.txt": "a\n1\n1 1 1 1 1\n2 2 2 2 .2\n",
        "0--Parade/b.c.txt": "b.c\n2\n3 3 3 3 .3\n",
        "1--Riot/d.txt": "d\n1\n4 4 4 4 .4\n",
    }
    found = read(tmp_path, files, is_lenient=True)
    assert [rows[:, 0].tolist() for rows in found.detections.values()] == [[1, 2], [3], [4]]
    assert count_problems(found.problems) == {"wrong count": 2}


def test_a_folder_without_results_and_one_of_another_data_set_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no result files: expected <event>/<image>\.txt"):
        read(tmp_path, {})
    with pytest.raises(
        UserError, match=r"none of the 1 result files .* val/a\.txt.* give the folder of the events"
    ):
        read(tmp_path, {"val/a.txt": GOOD})


# ------------------------------------------------------------------------------------------------- writing

ROWS = arrays(
    np.float32,
    st.tuples(st.integers(0, 6), st.just(5)),
    elements=st.floats(0, 4096, width=32),
)


@settings(max_examples=40, deadline=None)
@given(st.lists(ROWS, min_size=3, max_size=3))
def test_what_is_written_is_read_back_in_order_of_score(
    tmp_path_factory: pytest.TempPathFactory, images: list[np.ndarray]
) -> None:
    folder = tmp_path_factory.mktemp("results") / "val"
    write_results(folder, dict(zip(NAMES, images, strict=True)))
    found = read_results(find_results(folder, NAMES))
    assert (found.problems, found.num_unsorted) == ((), 0)
    for name, rows in zip(NAMES, images, strict=True):
        ordered = rows[np.argsort(-rows[:, 4], kind="stable")]
        assert np.abs(found.detections[name][:, :4] - ordered[:, :4]).max(initial=0) <= 0.0005 + 1e-9
        # nine digits give back every float32
        assert (found.detections[name][:, 4].astype(np.float32) == ordered[:, 4]).all()


def test_results_are_never_written_into_a_folder_that_has_some(tmp_path: Path) -> None:
    write_results(tmp_path / "val", {"0--Parade/a": np.zeros((0, 5))})
    with pytest.raises(UserError, match="not empty: results of two kinds would mix"):
        write_results(tmp_path / "val", {"0--Parade/a": np.zeros((0, 5))})
    with pytest.raises(ValueError, match="leads out"):
        write_results(tmp_path / "other", {"../a": np.zeros((0, 5))})
