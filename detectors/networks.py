"""This package's networks by the names of their detectors, with random weights."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

from detectors.adapter import NetworkDetector
from detectors.anchor_network import AnchorNetwork
from detectors.hambox import hambox_resnet50, hambox_slim, hrnet_detector, hrnet_slim
from detectors.retinaface import mobilenet025, retinaface_resnet50
from detectors.weights import load_network

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
"""Makes the network of each detector."""


def create_detector(name: str, weights: Path | None, device: str) -> NetworkDetector:
    """Make a detector of `NETWORKS` from a weights file, or with random weights for None.

    Raises ValueError when the file does not fit.
    """
    network = NETWORKS[name]()
    if weights is not None:
        load_network(network, weights, name)
    return NetworkDetector(name, network, device)
