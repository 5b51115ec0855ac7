"""This package's networks by the names of their detectors, with random weights."""

from collections.abc import Callable
from functools import partial
from typing import Final

from detectors.networks.anchor_network import AnchorNetwork
from detectors.networks.hambox import hambox_resnet50, hambox_slim, hrnet_detector, hrnet_slim
from detectors.networks.retinaface import mobilenet025, retinaface_resnet50

NETWORKS: Final[dict[str, Callable[[], AnchorNetwork]]] = {
    "retinaface-mobilenet0.25": mobilenet025,
    "retinaface-resnet50": retinaface_resnet50,
    "hambox-resnet50": hambox_resnet50,
    "hambox-slim": hambox_slim,
    "hrnet-w18": partial(hrnet_detector, 18),
    "hrnet-w32": partial(hrnet_detector, 32),
    "hrnet-w48": partial(hrnet_detector, 48),
    "hrnet-slim": hrnet_slim,
}
"""The function that makes each detector's network, by the detector's name."""
