"""Detectors: images in, candidates out; created by name, with the shipped weights or others.

>>> import detectors
>>> detector = detectors.create("retinaface-mobilenet0.25")
>>> boxes = detector.candidates([image])  # image: uint8 [H, W, 3] RGB; boxes: one float32 [N, 5]
"""

from detectors.base import MAX_CANDIDATES, SHIPPED, Detector, DetectorEntry, available, create, identify

__all__ = [
    "MAX_CANDIDATES",
    "SHIPPED",
    "Detector",
    "DetectorEntry",
    "available",
    "create",
    "identify",
]
