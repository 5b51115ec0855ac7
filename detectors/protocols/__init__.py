"""Protocols: the ways to present an image to any detector.

>>> from detectors.protocols import named, protocol_candidates
>>> found = protocol_candidates(detector, named("multi"), [image])  # one float32 [N, 5], in pixels of the image
"""

from detectors.protocols.forward import Enlarging, protocol_candidates, view_candidates
from detectors.protocols.fusion import FUSION_VERSION, Fusion, fuse
from detectors.protocols.presets import NAMES, PRESETS, named, of_view
from detectors.protocols.protocol import DetectionProtocol
from detectors.protocols.views import RESIZING, View, resized

__all__ = [
    "FUSION_VERSION",
    "NAMES",
    "PRESETS",
    "RESIZING",
    "DetectionProtocol",
    "Enlarging",
    "Fusion",
    "View",
    "fuse",
    "named",
    "of_view",
    "protocol_candidates",
    "resized",
    "view_candidates",
]
