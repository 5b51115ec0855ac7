"""This package's networks by the names of their detectors, with random weights."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

from detectors.adapter import NetworkDetector
from detectors.anchor_network import AnchorNetwork
from detectors.retinaface import mobilenet025
from detectors.weights import load_network

NETWORKS: Final[dict[str, Callable[[], AnchorNetwork]]] = {
    "retinaface-mobilenet0.25": mobilenet025,
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
