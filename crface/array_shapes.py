"""Names of the array shapes that many signatures share. A dimension has one size within a call."""

import numpy as np
from jaxtyping import Bool, Float32, UInt8

RgbImage = UInt8[np.ndarray, "height width 3"]
"""A decoded image."""

ScoredBoxes = Float32[np.ndarray, "_ 5"]
"""Candidates or detections of an image: rows `x1 y1 x2 y2 confidence`, in pixels."""

FaceMask = Bool[np.ndarray, " face"]
"""Which faces count."""
