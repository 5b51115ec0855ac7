"""The reader of MATLAB files gives what SciPy gives of good files, and a sentence for all others."""

import io
import struct
import tracemalloc
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from wider_folder import Picture, cells, mat_variables

from pipeline.ground_truth.mat5 import MAX_UNPACKED_BYTES, read_mat

_NUMBERS = arrays(
    st.sampled_from(["i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8"]),
    array_shapes(min_dims=2, max_dims=3, min_side=0, max_side=4),
)
_TEXTS = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cs"], max_codepoint=0xFFFF), min_size=1, max_size=9
)


def _file(variables: dict[str, Any], *, is_compressed: bool = True) -> bytes:
    file = io.BytesIO()
    scipy.io.savemat(file, variables, do_compression=is_compressed)
    return file.getvalue()


def _same(ours: Any, scipys: Any) -> bool:
    if isinstance(ours, str):
        return ours == "".join(np.asarray(scipys).ravel().tolist())
    if ours.dtype == object:
        return ours.shape == scipys.shape and all(map(_same, ours.ravel(), scipys.ravel()))
    return ours.shape == scipys.shape and np.array_equal(ours, scipys, equal_nan=ours.dtype.kind == "f")


@given(
    values=st.lists(st.one_of(_NUMBERS, _TEXTS.map(lambda text: np.array([text]))), min_size=1, max_size=4),
    is_compressed=st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_whatever_scipy_writes_is_read_as_scipy_reads_it(
    values: list[np.ndarray], is_compressed: bool
) -> None:
    data = _file({"a": cells(values), "b": cells([cells(values), cells([])])}, is_compressed=is_compressed)
    ours, scipys = read_mat(data, ("a", "b")), scipy.io.loadmat(io.BytesIO(data))
    assert ours.keys() == {"a", "b"}
    assert all(_same(ours[name], scipys[name]) for name in ours)


@pytest.mark.parametrize("setting", ["face", "easy", "medium", "hard"])
def test_the_official_files_are_read_as_scipy_reads_them(shared: Path, setting: str) -> None:
    path = shared / "widerface" / f"wider_{setting}_val.mat"
    wanted = ("event_list", "file_list", "face_bbx_list", "gt_list")
    ours, scipys = read_mat(path.read_bytes(), wanted), scipy.io.loadmat(path)
    assert {"event_list", "file_list", "face_bbx_list"} <= ours.keys()
    assert all(_same(ours[name], scipys[name]) for name in ours)


def test_variables_that_nobody_asked_for_are_passed_over() -> None:
    data = _file({"wanted": np.eye(2), "structure": {"a": 1}, "complex": np.array([[1j]])})
    assert list(read_mat(data, ("wanted", "absent"))) == ["wanted"]


@pytest.mark.parametrize("value", [{"a": 1}, np.array([[1 + 2j]])])
def test_what_ground_truth_is_not_made_of_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match="neither cells nor text nor real numbers in a"):
        read_mat(_file({"a": value}), ("a",))


def test_other_versions_are_refused() -> None:
    file = io.BytesIO()
    scipy.io.savemat(file, {"a": np.eye(2)}, format="4")
    for data in (b"", file.getvalue(), b"MATLAB 7.3 MAT-file" + bytes(105) + b"\x00\x02IM" + b"\x89HDF"):
        with pytest.raises(ValueError, match="no MATLAB file of version 5"):
            read_mat(data, ("a",))


def test_a_file_cut_anywhere_is_refused_or_lacks_whole_variables() -> None:
    pictures = [Picture("0--Parade", "a", faces=[(1, 2, 3, 4)]), Picture("1--March", "b")]
    for is_compressed in (False, True):
        data = _file(mat_variables(pictures), is_compressed=is_compressed)
        whole = read_mat(data, ("event_list", "file_list", "face_bbx_list"))
        for length in range(128, len(data)):
            try:
                found = read_mat(data[:length], whole.keys())
            except ValueError:
                continue
            assert all(_same(found[name], whole[name]) for name in found)


def test_a_bomb_is_refused_before_it_is_unpacked_whole() -> None:
    packer = zlib.compressobj()
    zeros = bytes(16_000_000)
    packed = (
        b"".join(packer.compress(zeros) for _ in range(MAX_UNPACKED_BYTES // len(zeros) + 2)) + packer.flush()
    )
    head = bytes(124) + b"\x00\x01IM"
    tracemalloc.start()
    with pytest.raises(ValueError, match="unpacks to more than"):
        read_mat(head + struct.pack("<II", 15, len(packed)) + packed, ("a",))
    assert tracemalloc.get_traced_memory()[1] < 3 * MAX_UNPACKED_BYTES
    tracemalloc.stop()


@pytest.mark.parametrize("shape", [(2**31 - 1, 2**31 - 1), (1, 2**30)])
@pytest.mark.parametrize("kind", [1, 6])
def test_a_shape_that_lies_allocates_nothing(kind: int, shape: tuple[int, int]) -> None:
    parts = (
        struct.pack("<IIII", 6, 8, kind, 0)
        + struct.pack("<IIii", 5, 8, *shape)
        + struct.pack("<HHI", 1, 1, 97)
    )
    data = bytes(124) + b"\x00\x01IM" + struct.pack("<II", 14, len(parts)) + parts
    with pytest.raises(ValueError, match=r"(0 cells|type 2|0 numbers)"):
        read_mat(data, ("a",))
