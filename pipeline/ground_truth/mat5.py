"""A reader of MATLAB files of version 5: cells, texts and numbers, which is all WIDER FACE's ground truth uses.

`scipy.io.loadmat` is not used because a damaged file can crash the process. Here every length is checked against
the bytes present before anything is allocated, and what unpacks to more than a limit is refused.
"""

import zlib
from collections.abc import Collection, Iterator
from math import prod
from typing import Any, Final, Literal, NamedTuple

import numpy as np

MAX_UNPACKED_BYTES: Final = 512 * 1024 * 1024
"""The most that all variables of a file may unpack to; the official files take a hundredth of it."""

_MAX_DEPTH: Final = 8  # WIDER FACE's files need 3: cells that hold cells that hold numbers
_HEADER: Final = 128
_Order = Literal["<", ">"]
_ORDERS: Final[dict[bytes, _Order]] = {b"IM": "<", b"MI": ">"}
_MATRIX, _COMPRESSED = 14, 15
_CELL, _CHAR = 1, 4
_NUMBERS: Final = range(6, 16)
_COMPLEX: Final = 0x08
_DTYPES: Final = {
    1: "i1",
    2: "u1",
    3: "i2",
    4: "u2",
    5: "i4",
    6: "u4",
    7: "f4",
    9: "f8",
    12: "i8",
    13: "u8",
}
_ENCODINGS: Final = {1: "latin-1", 2: "latin-1", 4: "utf-16", 16: "utf-8", 17: "utf-16", 18: "utf-32"}


def read_mat(data: bytes, wanted: Collection[str]) -> dict[str, Any]:
    """Those variables of a file that are named in `wanted`.

    A cell array becomes a NumPy array of objects of its MATLAB shape, a text becomes a `str`, and numbers become
    an array of their stored type; an empty cell is an empty array.

    Raises ValueError for data that is no file of version 5, is damaged, unpacks to more than
    `MAX_UNPACKED_BYTES`, or has anything but cells, texts and real numbers in a wanted variable.
    """
    order = _ORDERS.get(data[126:128])
    if order is None or data[124:126][:: 1 if order == "<" else -1] != b"\x00\x01":
        raise ValueError("it is no MATLAB file of version 5")
    variables: dict[str, Any] = {}
    left = MAX_UNPACKED_BYTES
    for kind, content in _elements(data[_HEADER:], order):
        if kind == _COMPRESSED:
            unpacked = _unpacked(content, left)
            left -= len(unpacked)
            kind, content = next(_elements(unpacked, order), (0, b""))
        if kind != _MATRIX:
            raise ValueError(f"an element of type {kind} where a variable was expected")
        matrix = _opened(content, order)
        if matrix.name in wanted:
            if matrix.name in variables:
                raise ValueError(f"the variable {matrix.name} is there twice")
            variables[matrix.name] = _value(matrix, order, _MAX_DEPTH)
    return variables


class _Matrix(NamedTuple):
    name: str
    kind: int
    is_complex: bool
    shape: tuple[int, ...]
    rest: Iterator[tuple[int, bytes]]


def _elements(data: bytes, order: _Order) -> Iterator[tuple[int, bytes]]:
    """The type and content of each element in turn."""
    position = 0
    while position < len(data):
        tag = np.frombuffer(data[position : position + 8], f"{order}u4")
        if len(tag) < 2:
            raise ValueError("it is cut short")
        kind, length = int(tag[0]), int(tag[1])
        if kind >> 16:  # up to four bytes are stored in the tag itself
            kind, length = kind & 0xFFFF, kind >> 16
            start, after = position + 4, position + 8
            if length > 4:
                raise ValueError("it is damaged: five bytes or more in a place for four")
        else:
            start = position + 8
            after = start + length + (-length % 8 if kind != _COMPRESSED else 0)
        if start + length > len(data):
            raise ValueError("it is cut short")
        yield kind, data[start : start + length]
        position = after


def _unpacked(content: bytes, most: int) -> bytes:
    stream = zlib.decompressobj()
    try:
        unpacked = stream.decompress(content, most)
    except zlib.error as error:
        raise ValueError(f"it is damaged: {error}") from error
    if not stream.eof:
        too_large = bool(stream.unconsumed_tail)
        raise ValueError(
            f"it unpacks to more than {MAX_UNPACKED_BYTES:,} bytes" if too_large else "it is cut short"
        )
    return unpacked


def _opened(content: bytes, order: _Order) -> _Matrix:
    """The header that every matrix begins with, and what follows it."""
    parts = _elements(content, order)
    try:
        flags = _numbers(*next(parts), order)
        shape = tuple(_numbers(*next(parts), order).tolist())
        name = next(parts)[1].decode("latin-1")
    except StopIteration:
        raise ValueError("it is cut short") from None
    if len(flags) != 2 or len(shape) < 2 or any(not isinstance(n, int) or n < 0 for n in shape):
        raise ValueError("it is damaged: an array without a type or a shape")
    return _Matrix(name, int(flags[0]) & 0xFF, bool(int(flags[0]) >> 8 & _COMPLEX), shape, parts)


def _value(matrix: _Matrix, order: _Order, depth: int) -> Any:
    size = prod(matrix.shape)
    where = f"in {matrix.name}" if matrix.name else "in a cell"
    if matrix.kind == _CELL:
        if depth == 0:
            raise ValueError("cells in cells without end")
        cells = [_cell(*part, order, depth - 1) for part in matrix.rest]
        if len(cells) != size:
            raise ValueError(f"{len(cells)} cells {where}, whose shape is {list(matrix.shape)}")
        array = np.empty(size, dtype=object)
        for number, cell in enumerate(cells):
            array[number] = cell
        return array.reshape(matrix.shape, order="F")
    if matrix.is_complex or (matrix.kind != _CHAR and matrix.kind not in _NUMBERS):
        raise ValueError(f"neither cells nor text nor real numbers {where} (type {matrix.kind})")
    kind, content = next(matrix.rest, (2, b""))
    if matrix.kind == _CHAR:
        return _text(kind, content, matrix.shape, order)
    values = _numbers(kind, content, order)
    if len(values) != size:
        raise ValueError(f"{len(values)} numbers {where}, whose shape is {list(matrix.shape)}")
    return values.reshape(matrix.shape, order="F")


def _cell(kind: int, content: bytes, order: _Order, depth: int) -> Any:
    if kind != _MATRIX:
        raise ValueError(f"an element of type {kind} where a cell was expected")
    if not content:  # how MATLAB writes an empty cell
        return np.zeros((0, 0))
    return _value(_opened(content, order), order, depth)


def _text(kind: int, content: bytes, shape: tuple[int, ...], order: _Order) -> str:
    if kind not in _ENCODINGS:
        raise ValueError(f"a text of type {kind}")
    encoding = _ENCODINGS[kind] + ("" if kind in (1, 2, 16) else "-le" if order == "<" else "-be")
    text = content.decode(encoding)
    length = (
        len(content) if kind == 16 else len(text)
    )  # the shape counts MATLAB's characters, or UTF-8's bytes
    if prod(shape) not in (length, len(text)) or (shape[0] != 1 and text):
        raise ValueError(f"{len(text)} characters in a text whose shape is {list(shape)}")
    return text


def _numbers(kind: int, content: bytes, order: _Order) -> np.ndarray:
    if kind not in _DTYPES:
        raise ValueError(f"numbers of type {kind}")
    dtype = np.dtype(_DTYPES[kind]).newbyteorder(order)
    if len(content) % dtype.itemsize:
        raise ValueError("it is cut short")
    return np.frombuffer(content, dtype)
