"""Detectors as a user names them."""

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import detectors
from detectors.catalogue import MOBILENET025

_START: Final = "retinaface-mobilenet0.25"


def named_in(value: str) -> list[str]:
    """The detectors in a value of --detector, which are separated by spaces; a path may have spaces too.

    Of `NAME@PATH` the longest path that is a file is taken. What follows it and names no detector belongs to the
    path, so that a mistake in the path is reported as one.

    >>> named_in("hrnet-slim hambox-slim")
    ['hrnet-slim', 'hambox-slim']
    >>> named_in("scrfd@my models/x.onnx")
    ['scrfd@my models/x.onnx']
    """
    words = [match.span() for match in re.finditer(r"\S+", value)]
    found: list[tuple[int, int]] = []
    while words:
        start = words[0][0]
        num_words = next((n for n in range(len(words), 1, -1) if _is_file(value[start : words[n - 1][1]])), 1)
        part = (start, words[num_words - 1][1])
        words = words[num_words:]
        if found and "@" in value[slice(*found[-1])] and not _is_named(value[slice(*part)]):
            found[-1] = (found[-1][0], part[1])
        else:
            found.append(part)
    return [value[start:end] for start, end in found]


def starting_weights(names: Sequence[str]) -> Path:
    """The weights that a ranker starts from: those of the first RetinaFace mobilenet0.25, else the shipped ones."""
    for name, _, path in (value.partition("@") for value in names):
        if name == _START and path:
            return Path(path).absolute()
    assert MOBILENET025.shipped_weights is not None
    return MOBILENET025.shipped_weights


def _is_file(detector: str) -> bool:
    name, at, path = detector.partition("@")
    return bool(at) and not re.search(r"\s", name) and os.path.isfile(path)  # noqa: PTH113 - which takes any text, however long


def _is_named(detector: str) -> bool:
    name = detector.partition("@")[0]
    return ":" in name or name in detectors.available()
