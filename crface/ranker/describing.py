"""A picture and its candidates in a few numbers, so that sets of pictures can be compared (`crface.ranker.home`)."""

from typing import Final

import cv2
import numpy as np
from jaxtyping import Float32, Float64

from crface.array_shapes import RgbImage

FEATURES: Final = {
    "brightness": 0.05,
    "contrast": 0.02,
    "redness": 0.01,
    "blueness": 0.01,
    "spread of redness": 0.01,
    "spread of blueness": 0.01,
    "log roughness": 0.1,
    "log sharpness": 0.03,
    "log aspect": 0.1,
    "log candidates": 0.25,
    "log faces expected": 0.25,
    "log confident candidates": 0.25,
    "log face size": 0.2,
    "spread of log face size": 0.1,
    "log box aspect": 0.03,
    "mean confidence": 0.05,
    "mean confidence, weighted by itself": 0.05,
}
"""The numbers by name, each with the smallest spread that a kind of picture is thought to have: where all training
pictures are equal, as generated ones are in their aspect, a little more or less makes no other kind of picture."""

SIDE_PX: Final = 512
"""The long side at which pictures are described, so that the same scene in more pixels is the same picture."""

LEAST_CONFIDENCE: Final = 0.02
"""Candidates up to this confidence are not looked at: how many of them there are is a setting of the detector."""

_NUM_OF_CANDIDATES: Final = 8  # the last of the features
_LUMINANCE: Final = np.array([0.299, 0.587, 0.114], np.float32)
_LEAST_STEP: Final = 1e-3  # keeps logarithms finite in pictures of one colour


def describe(
    image: RgbImage, candidates: Float32[np.ndarray, "candidate 5"]
) -> Float32[np.ndarray, " feature"]:
    """The `FEATURES` of a picture and of a detector's candidates on it; those of candidates are 0 without any.

    The pixels say how bright, colourful, rough and sharp the picture is; the candidates say how many faces of which
    size there are, and how sure the detector is of them. `candidates` are `x1 y1 x2 y2 confidence` in the image's
    pixels.
    """
    factor = SIDE_PX / max(image.shape[:2])
    found = candidates[candidates[:, 4] > LEAST_CONFIDENCE]
    return np.concatenate([_of_pixels(image, factor), _of_candidates(found, factor)]).astype(np.float32)


def _of_pixels(image: RgbImage, factor: float) -> Float64[np.ndarray, " feature"]:
    height, width = image.shape[:2]
    size = max(1, round(width * factor)), max(1, round(height * factor))
    shrinks = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
    picture = cv2.resize(image, size, interpolation=shrinks).astype(np.float32) / 255
    grey = picture @ _LUMINANCE
    red, blue = picture[..., 0] - grey, picture[..., 2] - grey
    half = cv2.resize(grey, (max(1, size[0] // 2), max(1, size[1] // 2)), interpolation=cv2.INTER_AREA)
    step, step_of_half = _mean_step(grey) + _LEAST_STEP, _mean_step(half) + _LEAST_STEP
    return np.array(
        [
            grey.mean(),
            grey.std(),
            red.mean(),
            blue.mean(),
            red.std(),
            blue.std(),
            np.log(step),
            np.log(step / step_of_half),  # a blurred picture has smaller steps at full size than at half
            np.log(width / height),
        ]
    )


def _mean_step(grey: Float32[np.ndarray, "height width"]) -> float:
    """Mean difference of neighbours, across plus down; 0 along a side of one pixel."""
    steps = (np.abs(np.diff(grey, axis=axis)) for axis in (0, 1))
    return sum(float(step.mean()) for step in steps if step.size)


def _of_candidates(
    found: Float32[np.ndarray, "candidate 5"], factor: float
) -> Float64[np.ndarray, " feature"]:
    if len(found) == 0:
        return np.zeros(_NUM_OF_CANDIDATES)
    confidence = found[:, 4].astype(np.float64)
    width, height = np.maximum(found[:, 2:4].astype(np.float64) - found[:, :2], 1).T
    log_size = np.log(np.maximum(np.sqrt(width * height) * factor, 1))
    weight = confidence / confidence.sum()
    mean_size = weight @ log_size
    return np.array(
        [
            np.log1p(len(found)),
            np.log1p(confidence.sum()),
            np.log1p((confidence > 0.5).sum()),
            mean_size,
            np.sqrt(weight @ (log_size - mean_size) ** 2),
            weight @ np.log(width / height),
            confidence.mean(),
            weight @ confidence,
        ]
    )
