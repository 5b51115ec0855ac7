"""Candidates of a described ONNX model: the `detectors.Detector` that the pipeline calls."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
from jaxtyping import Float32, UInt8

from detectors.base import MAX_CANDIDATES
from detectors.onnx_adapter.canvas import CanvasPlacement, network_input, place
from detectors.onnx_adapter.descriptor import Descriptor
from detectors.onnx_adapter.outputs import Canvases
from detectors.onnx_adapter.session import OnnxModel

_AXES: Final = {"NCHW": (0, 2, 3), "NHWC": (0, 1, 2)}
"""Where an input has its batch, height and width."""
_MAX_BATCH_PIXELS: Final = 1 << 22
_ROUNDING: Final = 1e-3
"""By how much a confidence may leave 0..1, as of networks in reduced precision, before it is none."""


class OnnxDetector:
    """Candidates of one ONNX file; `name` is the name that results are filed under."""

    def __init__(self, descriptor: Descriptor, model: Path, device: str = "cpu") -> None:
        """Load the model.

        Raises ValueError when the file cannot be used or the descriptor does not fit it.
        """
        self.name = descriptor.name
        self._spec = descriptor.input
        self._decoding = descriptor.decoding
        self._path = model
        axes = _AXES[self._spec.layout]
        frees = axes if self._spec.ignores_declared_size else ()
        self._model = OnnxModel(model, device, self._decoding.output_names(), frees)
        self._fixed_hw = self._chosen_size()
        is_batched = self._spec.is_batched and self._model.declared[0] is None
        self._max_batch_pixels = _MAX_BATCH_PIXELS if is_batched else 1

    def candidates(self, images: Sequence[UInt8[np.ndarray, "_ _ 3"]]) -> list[Float32[np.ndarray, "_ 5"]]:
        """Give each RGB image's candidates, best first: at most 5000 of all boxes, even at score 0.

        Rows are `x1 y1 x2 y2 confidence` in pixels of the image, not clipped to it; boxes that lie wholly
        outside of it, as the padding beside a small image has them, are left out. Equal confidences stay in
        the order in which the network gives them. What else is in the batch does not change the result.

        Raises ValueError for an image without pixels or not uint8 [H, W, 3], and when the network's answer
        is not finite, no confidences, or of a shape that the descriptor does not describe.
        """
        by_canvas: dict[tuple[int, int], list[int]] = {}
        placements = []
        for i, image in enumerate(images):
            if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
                raise ValueError(
                    f"image {i} of the batch is {image.dtype} {list(image.shape)}: a detector "
                    "needs uint8 [height, width, 3] RGB with at least one pixel"
                )
            placements.append(place((image.shape[0], image.shape[1]), self._spec, self._fixed_hw))
            by_canvas.setdefault(placements[i].canvas_hw, []).append(i)
        results: dict[int, Float32[np.ndarray, "_ 5"]] = {}
        for (height, width), members in by_canvas.items():
            step = max(1, self._max_batch_pixels // (height * width))
            for start in range(0, len(members), step):
                part = members[start : start + step]
                inputs = [network_input(images[i], placements[i], self._spec) for i in part]
                found = self._on_canvas(np.stack(inputs), [placements[i] for i in part])
                results.update(zip(part, found, strict=True))
        return [results[i] for i in range(len(images))]

    def _on_canvas(
        self, batch: Float32[np.ndarray, "_ _ _ _"], placements: list[CanvasPlacement]
    ) -> list[Float32[np.ndarray, "_ 5"]]:
        height, width = placements[0].canvas_hw
        outputs = self._model.run(np.ascontiguousarray(batch))
        canvases = Canvases(number=len(placements), height=height, width=width)
        try:
            # an overflow becomes infinite, which is refused below
            with np.errstate(over="ignore", invalid="ignore"):
                decoded = self._decoding.decode(outputs, canvases)
        except ValueError as error:
            raise ValueError(f"{self._path} on an input of {width} x {height} pixels: {error}") from error
        if not (np.isfinite(decoded.boxes_xyxy).all() and np.isfinite(decoded.confidences).all()):
            raise ValueError(
                f"{self._path} gave values that are not finite for an input of {width} x {height} pixels: "
                "it is damaged, or the descriptor describes another network"
            )
        if (np.abs(decoded.confidences - 0.5) > 0.5 + _ROUNDING).any():
            lowest, highest = decoded.confidences.min(), decoded.confidences.max()
            raise ValueError(
                f"{self._path} gave confidences from {lowest:.3g} to {highest:.3g}, outside 0..1: "
                "the descriptor names another output or column"
            )
        return [
            _best(placement.to_original(boxes), confidences.clip(0.0, 1.0), placement.original_hw)
            for placement, boxes, confidences in zip(
                placements, decoded.boxes_xyxy, decoded.confidences, strict=True
            )
        ]

    def _chosen_size(self) -> tuple[int, int] | None:
        """The height and width that every image is fitted into; None for any size."""
        _, row_axis, column_axis = _AXES[self._spec.layout]
        declared = self._model.declared[row_axis], self._model.declared[column_axis]
        if self._spec.size is None:
            height, width = declared
            if (height is None) != (width is None):
                raise ValueError(
                    f"{self._path} declares only one side of its input: give `size` in the descriptor"
                )
            return None if height is None or width is None else (height, width)
        if any(side not in (None, wanted) for side, wanted in zip(declared, self._spec.size, strict=True)):
            raise ValueError(
                f"{self._path} declares an input of height and width {list(declared)}, the descriptor has "
                f"size {list(self._spec.size)}: leave `size` out"
            )
        return self._spec.size


def _best(
    boxes_xyxy: Float32[np.ndarray, "n 4"],
    confidences: Float32[np.ndarray, " n"],
    image_hw: tuple[int, int],
) -> Float32[np.ndarray, "_ 5"]:
    height, width = image_hw
    x1, y1 = boxes_xyxy[:, :2].T
    # a low-scored box may come out inside out; it gets no area
    x2, y2 = np.maximum(boxes_xyxy[:, :2], boxes_xyxy[:, 2:]).T
    touching = np.flatnonzero((x2 >= 0) & (y2 >= 0) & (x1 <= width) & (y1 <= height))
    order = touching[np.argsort(-confidences[touching], kind="stable")[:MAX_CANDIDATES]]
    return np.stack([x1, y1, x2, y2, confidences], axis=1)[order]
