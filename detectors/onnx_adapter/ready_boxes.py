"""Boxes that the network has decoded itself, its priors inside."""

from collections.abc import Iterable
from typing import ClassVar, Final, Literal

import numpy as np
from pydantic import Field

from detectors.onnx_adapter.outputs import Canvases, Decoded, Outputs
from detectors.onnx_adapter.section import Section
from detectors.plausible import Fault

_WIDE: Final = 256
"""Columns from which a table with four times as many columns as rows counts as transposed."""
_LOOKS_LIKE: Final[dict[Fault, str]] = {
    "fractions": 'they are probably fractions of width and height: write unit = "fraction" in [decoding]',
    "far away": 'they are probably pixels already: write unit = "pixels" in [decoding]',
}


class ReadyBoxes(Section):
    """Rows with a finished box and a confidence, in two outputs or as columns of the same one.

    An output is [batch, rows, columns], or [rows, columns] for one image; confidences may also be [batch, rows].
    Columns that no key names (landmarks) are not read. A network that itself left boxes out by their score or by NMS
    works, but the low scores that a ranker needs are then lost.
    """

    later_keys: ClassVar = frozenset({"form", "transposed", "objectness", "objectness_column"})

    scheme: Literal["boxes"]
    boxes: str
    """Output with the boxes."""
    box_column: int = Field(0, ge=0)
    """First of the box's four columns."""
    scores: str
    """Output with the confidences in 0..1."""
    score_column: int = Field(ge=0)
    """Column with the confidence of a face."""
    unit: Literal["pixels", "fraction"]
    """What boxes are measured in: pixels of the network's input, or fractions of its width and height."""
    form: Literal["corners", "centre", "corner"] = "corners"
    """The box's four numbers: x1 y1 x2 y2; the centre's x and y, width, height; or x1 y1, width, height."""
    transposed: bool = False
    """Whether outputs are [batch, columns, rows]."""
    objectness: str | None = None
    """Output that confidences are multiplied by; absent: that of `scores` if `objectness_column` is set, else none."""
    objectness_column: int | None = Field(None, ge=0)
    """Column of the objectness; absent: the first of `objectness`."""

    def output_names(self) -> tuple[str, ...]:
        """The outputs that are needed."""
        return (self.boxes, self.scores, *([self.objectness] if self.objectness else []))

    def decode(self, outputs: Outputs, canvases: Canvases) -> Decoded:
        """The boxes and confidences of all rows, in their order."""
        boxes = self._columns(outputs, self.boxes, canvases, self.box_column, 4)
        confidences = self._column(outputs, self.scores, canvases, self.score_column, boxes.shape[1])
        if self.objectness is not None or self.objectness_column is not None:
            name, column = self.objectness or self.scores, self.objectness_column or 0
            confidences = confidences * self._column(outputs, name, canvases, column, boxes.shape[1])
        boxes = self._corners(boxes)
        if self.unit == "fraction":
            boxes = boxes * np.array([canvases.width, canvases.height] * 2, np.float32)
        return Decoded(boxes.astype(np.float32, copy=False), confidences.astype(np.float32, copy=False))

    def remedies(self, faults: Iterable[Fault]) -> list[str]:
        """What boxes with these faults probably are, each with the key of the descriptor that mends it."""
        of_shape = (
            "they are probably centre, width and height, as YOLO exports have them: write "
            'form = "centre" in [decoding] (form = "corner" for left, top, width and height)'
            if self.form == "corners"
            else 'their widths or heights are negative: see form ("corners" for x1 y1 x2 y2), box_column and '
            "transposed in [decoding]"
        )
        return [of_shape if fault == "no area" else _LOOKS_LIKE[fault] for fault in faults]

    def _corners(self, numbers: np.ndarray) -> np.ndarray:
        if self.form == "corners":
            return numbers
        points, sizes = numbers[..., :2], numbers[..., 2:]
        starts = points - sizes / 2 if self.form == "centre" else points
        return np.concatenate([starts, starts + sizes], axis=-1)

    def _column(
        self, outputs: Outputs, name: str, canvases: Canvases, column: int, num_boxes: int
    ) -> np.ndarray:
        """A column of an output, [canvas, row]; the output may have no axis of columns where there is but one."""
        found = outputs[name]
        if column == 0 and found.shape in (
            (canvases.number, num_boxes),
            (num_boxes,) * (canvases.number == 1),
        ):
            return found.reshape(canvases.number, num_boxes)
        values = self._columns(outputs, name, canvases, column, 1)[..., 0]
        if values.shape[1] != num_boxes:
            raise ValueError(
                f"its outputs {self.boxes} and {name} have {num_boxes} boxes and {values.shape[1]} confidences "
                f"(shapes {list(outputs[self.boxes].shape)} and {list(found.shape)}): the descriptor describes "
                "another network"
            )
        return values

    def _columns(
        self, outputs: Outputs, name: str, canvases: Canvases, first: int, number: int
    ) -> np.ndarray:
        found = outputs[name]
        if found.ndim == 2 and canvases.number == 1:
            found = found[None]
        axes = "columns, rows" if self.transposed else "rows, columns"
        if self.transposed and found.ndim == 3:
            found = found.swapaxes(1, 2)
        if found.ndim != 3 or len(found) != canvases.number or found.shape[2] < first + number:
            raise ValueError(
                f"its output {name} has shape {list(outputs[name].shape)} where [{canvases.number}, rows, at "
                f"least {first + number} columns] was expected"
                f"{' transposed' if self.transposed else ''}: the descriptor describes another network"
            )
        if found.shape[2] >= max(_WIDE, 4 * found.shape[1]):
            raise ValueError(
                f"its output {name} has shape {list(outputs[name].shape)}, which is not [batch, {axes}]: write "
                f"transposed = {'false' if self.transposed else 'true'} in [decoding]"
            )
        return found[..., first : first + number]
