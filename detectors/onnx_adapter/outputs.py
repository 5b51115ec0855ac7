"""What a decoding scheme takes from a network and returns, with the checks that all schemes share."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from jaxtyping import Float, Float32

Outputs = Mapping[str, np.ndarray]
"""A network's outputs by name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Canvases:
    """The canvases of one run: their number, and their height and width in pixels."""

    number: int
    height: int
    width: int


@dataclass(frozen=True, slots=True)
class Decoded:
    """All boxes of a network, unsorted: in pixels of the canvas, with confidences in 0..1."""

    boxes_xyxy: Float32[np.ndarray, "canvas box 4"]
    confidences: Float32[np.ndarray, "canvas box"]


class Decoding(Protocol):
    """A decoding scheme: the table `[decoding]` of a descriptor, which knows the meaning of the outputs."""

    def output_names(self) -> tuple[str, ...]:
        """The outputs that are needed."""

    def decode(self, outputs: Outputs, canvases: Canvases) -> Decoded:
        """All boxes in the outputs. Raises ValueError for an output of another shape than expected."""


def rows(
    outputs: Outputs, name: str, canvases: Canvases, num_rows: int, num_columns: int, why: str
) -> Float[np.ndarray, "canvas row column"]:
    """An output as [canvas, row, column], whether or not the network wrote a batch axis of one.

    `why` explains the expected number of rows in the message. Raises ValueError for any other shape.
    """
    found = outputs[name]
    expected = (canvases.number, num_rows, num_columns)
    if found.shape != expected and (canvases.number, *found.shape) != (1, *expected[1:]):
        raise _misshapen(name, found, expected, why)
    return found.reshape(expected)


def maps(
    outputs: Outputs, name: str, canvases: Canvases, num_channels: int, stride: int
) -> Float[np.ndarray, "canvas channel row column"]:
    """An output of [canvas, channel, row, column], one cell per `stride` pixels.

    Raises ValueError for any other shape.
    """
    found = outputs[name]
    expected = (canvases.number, num_channels, *cells(canvases, stride))
    if found.shape != expected:
        raise _misshapen(name, found, expected, f"a cell is {stride} px")
    return found


def cells(canvases: Canvases, stride: int) -> tuple[int, int]:
    """The number of rows and columns of cells that cover the canvas; the last ones may reach over its edge."""
    return -(-canvases.height // stride), -(-canvases.width // stride)


def cell_corners(canvases: Canvases, stride: int) -> Float32[np.ndarray, "cell 2"]:
    """The top left corner (x, y) of each cell in pixels, row by row."""
    num_rows, num_columns = cells(canvases, stride)
    y, x = np.divmod(np.arange(num_rows * num_columns), num_columns)
    return (np.stack([x, y], axis=-1) * stride).astype(np.float32)


def sigmoid(logits: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
    """Probabilities of logits of any size."""
    probabilities: np.ndarray = np.exp(-np.logaddexp(np.zeros_like(logits), -logits))
    return probabilities


def _misshapen(name: str, found: np.ndarray, expected: tuple[int, ...], why: str) -> ValueError:
    return ValueError(
        f"its output {name} has shape {list(found.shape)} where {list(expected)} was expected ({why}): "
        "the descriptor describes another network"
    )
