"""An image on the canvas that a network takes, and boxes on it back in the image's pixels.

The image lies in the canvas's top left corner, so that undoing is one factor per axis and nothing else.
"""

from dataclasses import dataclass
from typing import Annotated, Literal

import cv2
import numpy as np
from jaxtyping import Float32, UInt8
from pydantic import Field, model_validator

from detectors.onnx_adapter.section import Section

Pixels = Annotated[int, Field(ge=1, le=1 << 16)]
Triple = tuple[float, float, float]


class InputSpec(Section):
    """The table `[input]` of a descriptor: how an image becomes the network's input."""

    layout: Literal["NCHW", "NHWC"] = "NCHW"
    """Order of the axes: batch, channels, height, width."""
    channels: Literal["RGB", "BGR"] = "RGB"
    """Order of the channels."""
    mean: Triple = (0.0, 0.0, 0.0)
    """Subtracted from pixel values 0..255, in the order of `channels`."""
    scale: Triple = (1.0, 1.0, 1.0)
    """Factor of pixel value minus mean, in the order of `channels`."""
    pad: int = Field(0, ge=0, le=255)
    """Pixel value of the canvas beside the image."""
    stride: Pixels = 32
    """Multiple in pixels to which an image of free size is padded."""
    size: tuple[Pixels, Pixels] | None = None
    """Height and width that every image is fitted into; absent: those that the file declares, or free."""
    max_side: Pixels | None = None
    """Longest side in pixels, to which larger images of free size are reduced; absent: they never are."""
    ignores_declared_size: bool = False
    """Whether the network takes any batch and size although its file declares fixed ones."""
    is_batched: bool = False
    """Whether the network takes several images at once, unless its file declares otherwise."""

    @model_validator(mode="after")
    def _one_way_to_size(self) -> "InputSpec":
        if self.size is not None and self.max_side is not None:
            raise ValueError("size and max_side exclude each other")
        if 0.0 in self.scale:
            raise ValueError("a scale of 0 leaves nothing of the image")
        return self


@dataclass(frozen=True, slots=True, kw_only=True)
class CanvasPlacement:
    """The place of an image: enlarged or reduced to `image_hw`, in the top left of a canvas of `canvas_hw`."""

    original_hw: tuple[int, int]
    image_hw: tuple[int, int]
    canvas_hw: tuple[int, int]

    def to_original(self, boxes_xyxy: Float32[np.ndarray, "n 4"]) -> Float32[np.ndarray, "n 4"]:
        """Boxes on the canvas in the image's own pixels, not clipped."""
        y, x = (original / placed for original, placed in zip(self.original_hw, self.image_hw, strict=True))
        return boxes_xyxy * np.array([x, y, x, y], np.float32)


def place(original_hw: tuple[int, int], spec: InputSpec, fixed_hw: tuple[int, int] | None) -> CanvasPlacement:
    """The place of an image: fitted into a fixed canvas, or as it is on one padded to the stride.

    Fitting keeps the aspect ratio to within a pixel and leaves at least one pixel of each side. A free
    image is reduced only if the descriptor sets `max_side`, and never enlarged.
    """
    height, width = original_hw
    if fixed_hw is not None:
        factor = min(fixed_hw[0] / height, fixed_hw[1] / width)
    elif spec.max_side is not None:
        factor = min(1.0, spec.max_side / max(height, width))
    else:
        factor = 1.0
    image_hw = max(1, round(height * factor)), max(1, round(width * factor))
    canvas_hw = fixed_hw or (_rounded_up(image_hw[0], spec.stride), _rounded_up(image_hw[1], spec.stride))
    return CanvasPlacement(original_hw=original_hw, image_hw=image_hw, canvas_hw=canvas_hw)


def network_input(
    image: UInt8[np.ndarray, "_ _ 3"], placement: CanvasPlacement, spec: InputSpec
) -> Float32[np.ndarray, "_ _ _"]:
    """An RGB image on its canvas, normalised: [3, H, W] or [H, W, 3], as the layout says."""
    height, width = placement.image_hw
    if placement.image_hw != placement.original_hw:
        is_reduced = height < image.shape[0] or width < image.shape[1]
        # the mean over what becomes one pixel: sampling a far larger photograph would alias
        how = cv2.INTER_AREA if is_reduced else cv2.INTER_LINEAR
        resized = cv2.resize(np.ascontiguousarray(image), (width, height), interpolation=how)
        image = resized.astype(np.uint8, copy=False)
    canvas = np.full((*placement.canvas_hw, 3), spec.pad, np.uint8)
    canvas[:height, :width] = image if spec.channels == "RGB" else image[..., ::-1]
    normalised = canvas.astype(np.float32)
    normalised -= np.array(spec.mean, np.float32)
    normalised *= np.array(spec.scale, np.float32)
    return normalised if spec.layout == "NHWC" else normalised.transpose(2, 0, 1)


def _rounded_up(side: int, stride: int) -> int:
    return -(-side // stride) * stride
