"""Candidates of a described ONNX model: the `detectors.Detector` that the pipeline calls."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

import numpy as np
from jaxtyping import Float32, UInt8

from crface.array_shapes import ScoredBoxes
from detectors.base import MAX_CANDIDATES
from detectors.onnx_adapter.canvas import CanvasPlacement, network_input, place
from detectors.onnx_adapter.descriptor import Descriptor
from detectors.onnx_adapter.outputs import Canvases
from detectors.onnx_adapter.per_stride import PerStride
from detectors.onnx_adapter.ready_boxes import ReadyBoxes
from detectors.onnx_adapter.session import OnnxModel
from detectors.plausible import Fault, faults, in_words

_AXES: Final = {"NCHW": (0, 2, 3), "NHWC": (0, 1, 2)}
"""Axes of an input's batch, height and width."""
_MAX_BATCH_PIXELS: Final = 1 << 22
_ROUNDING: Final = 1e-3
"""How far a confidence may lie outside 0..1, as rounding in reduced precision puts it."""


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
        self._fixed_batch = self._model.declared[0]

    def candidates(self, images: Sequence[UInt8[np.ndarray, "_ _ 3"]]) -> list[ScoredBoxes]:
        """The candidates of each RGB image, best first: at most 5000 of all boxes, even at score 0.

        Rows are `x1 y1 x2 y2 confidence` in pixels of the image, not clipped to it; boxes wholly outside the image, as
        in the padding beside a small one, are left out. Equal confidences stay in the network's order. The
        other images of a batch do not change the result; a file that declares a batch gets it filled up with black.

        Raises ValueError for an image without pixels or not uint8 [H, W, 3], and when the network's answer
        is not finite, holds no confidences or boxes that no face can have, or has a shape that the descriptor does
        not describe.
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
        results: dict[int, ScoredBoxes] = {}
        for (height, width), members in by_canvas.items():
            step = self._fixed_batch or max(1, self._max_batch_pixels // (height * width))
            for start in range(0, len(members), step):
                part = members[start : start + step]
                inputs = [network_input(images[i], placements[i], self._spec) for i in part]
                found = self._on_canvas(np.stack(inputs), [placements[i] for i in part])
                results.update(zip(part, found, strict=True))
        return [results[i] for i in range(len(images))]

    def _on_canvas(
        self, batch: Float32[np.ndarray, "_ _ _ _"], placements: list[CanvasPlacement]
    ) -> list[ScoredBoxes]:
        height, width = placements[0].canvas_hw
        used = len(placements)
        if self._fixed_batch is not None and used < self._fixed_batch:
            blank = np.zeros((self._fixed_batch - used, *batch.shape[1:]), np.float32)
            batch = np.concatenate([batch, blank])
        outputs = self._model.run(np.ascontiguousarray(batch))
        canvases = Canvases(number=len(batch), height=height, width=width)
        where = f"{self._path} on an input of {width} x {height} pixels"
        try:
            # an overflow becomes infinite, which is refused below
            with np.errstate(over="ignore", invalid="ignore"):
                decoded = self._decoding.decode(outputs, canvases)
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from error
        boxes, confidences = decoded.boxes_xyxy[:used], decoded.confidences[:used]
        if not (np.isfinite(boxes).all() and np.isfinite(confidences).all()):
            raise ValueError(
                f"{self._path} gave values that are not finite for an input of {width} x {height} pixels: "
                "it is damaged, or the descriptor describes another network"
            )
        if (np.abs(confidences - 0.5) > 0.5 + _ROUNDING).any():
            raise ValueError(
                f"{self._path} gave confidences from {confidences.min():.3g} to {confidences.max():.3g}, outside "
                "0..1: the descriptor names another output or column"
            )
        for of_image, scores in zip(boxes, confidences, strict=True):
            if found := faults(of_image, scores, height, width):
                raise ValueError(f"{where}: {in_words(found, self._remedies(found))}")
        return [
            _best(placement.to_original(of_image), scores.clip(0.0, 1.0), placement.original_hw)
            for placement, of_image, scores in zip(placements, boxes, confidences, strict=True)
        ]

    def _remedies(self, found: Iterable[Fault]) -> list[str]:
        if isinstance(self._decoding, ReadyBoxes | PerStride):
            return self._decoding.remedies(found)
        return ["the descriptor describes another network"]

    def _chosen_size(self) -> tuple[int, int] | None:
        """The height and width that every image is fitted into; None for any size."""
        _, row_axis, column_axis = _AXES[self._spec.layout]
        declared = self._model.declared[row_axis], self._model.declared[column_axis]
        if self._spec.size is None:
            height, width = declared
            if (height is None) != (width is None):
                raise ValueError(
                    f"{self._path} declares only one side of its input: write `size` in the descriptor"
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
) -> ScoredBoxes:
    height, width = image_hw
    x1, y1 = boxes_xyxy[:, :2].T
    # a low-scored box may come out inside out: it is left without area
    x2, y2 = np.maximum(boxes_xyxy[:, :2], boxes_xyxy[:, 2:]).T
    touching = np.flatnonzero((x2 >= 0) & (y2 >= 0) & (x1 <= width) & (y1 <= height))
    order = touching[np.argsort(-confidences[touching], kind="stable")[:MAX_CANDIDATES]]
    return np.stack([x1, y1, x2, y2, confidences], axis=1)[order]
