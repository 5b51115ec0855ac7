"""Bytes as they come out of bad disks, cut downloads and bad will: a sample with a few kinds of damage in it."""

import re
import struct
from collections.abc import Callable, Sequence

from hypothesis import strategies as st

TOKENS = (
    *(
        b"",
        b"0",
        b"-1",
        b"1e999",
        b"-1e38",
        b"nan",
        b"inf",
        b"NaN",
        b"Infinity",
        b"null",
        b"true",
        b"1_0",
        b"0x10",
    ),
    *(
        b"9" * 20,
        b"9" * 400,
        b"1" * 5000,
        "١٢".encode(),
        b"\0",
        b"\r",
        b"\n",
        b"\r\n",
        b"..",
        b"../",
        b"/",
        b"\\",
    ),
    *(
        b"[" * 3000,
        b'{"a":' * 3000,
        b"<a>" * 3000,
        b"a." * 3000,
        b'"',
        b"'",
        b"#",
        b"=",
        b"\xff\xfe",
        b"\xef\xbb\xbf",
    ),
    *(b"\xff" * 4, b"\x7f\xff\xff\xff", b"\xff\xff\xff\x7f", b"\xff" * 8, b"\0" * 8, b"\0" * 64),
)
"""What is put into a file: numbers that are too large or none, brackets without end, signs that end things early."""

_NUMBER = re.compile(rb"[0-9]+")


def damaged(samples: Sequence[bytes]) -> st.SearchStrategy[bytes]:
    """Draw a sample with one to four kinds of damage; the same seed gives the same."""
    # one draw for all that is to be chosen: a draw for each choice takes longer than most readers
    length = _CHOICE.size + _MOST_STEPS * _STEP.size
    return st.binary(min_size=length, max_size=length).map(lambda choices: _chosen(choices, samples))


_CHOICE = struct.Struct(">BBB")
"""Which sample, which other one it is spliced with, and how many steps after the first."""
_STEP = struct.Struct(">BHHB")
"""Which kind of damage, where it begins, how long it is, and which token is put in."""
_MOST_STEPS = 4


def _chosen(choices: bytes, samples: Sequence[bytes]) -> bytes:
    which, other, num_steps = _CHOICE.unpack_from(choices)
    data, kinds = samples[which % len(samples)], tuple(_KINDS.values())
    for number in range(1 + num_steps % _MOST_STEPS):
        kind, start, length, token = _STEP.unpack_from(choices, _CHOICE.size + number * _STEP.size)
        position = start * len(data) // 2**16
        end = min(len(data), position + 1 + length * length * len(data) // 2**32)  # short pieces more often
        damage = kinds[kind % len(kinds)]
        data = damage(data, position, end, TOKENS[token % len(TOKENS)], samples[other % len(samples)])
    return data


def _flip(data: bytes, start: int, end: int, token: bytes, other: bytes) -> bytes:
    return (
        data[:start] + bytes(byte ^ (1 << (end % 8)) for byte in data[start : start + 1]) + data[start + 1 :]
    )


def _splice(data: bytes, start: int, end: int, token: bytes, other: bytes) -> bytes:
    return data[:start] + other[len(other) * end // max(1, len(data)) :]


def _number(data: bytes, start: int, end: int, token: bytes, other: bytes) -> bytes:
    number = _NUMBER.search(data, start)
    return data if number is None else data[: number.start()] + token + data[number.end() :]


_KINDS: dict[str, Callable[[bytes, int, int, bytes, bytes], bytes]] = {
    "flip": _flip,
    "cut": lambda data, start, end, token, other: data[:start],
    "lack": lambda data, start, end, token, other: data[:start] + data[end:],
    "repeat": lambda data, start, end, token, other: data[:end] + data[start:end] * 3 + data[end:],
    "splice": _splice,
    "insert": lambda data, start, end, token, other: data[:start] + token + data[start:],
    "overwrite": lambda data, start, end, token, other: data[:start] + token + data[start + len(token) :],
    "number": _number,
}
