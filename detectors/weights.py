"""Weights of detectors: loaded into a network strictly, or refused in a sentence that names where they belong."""

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor, nn

from crface.weights import check_keys, load_state, read_metadata, save_state

__all__ = ["check_keys", "load_network", "load_state", "read_metadata", "recognise", "save_state"]

_SIGNATURES: dict[str, tuple[str, tuple[int, ...]]] = {
    "retinaface-mobilenet0.25": ("body.stage1.0.0.weight", (8, 3, 3, 3)),
    "retinaface-resnet50": ("body.conv1.weight", (64, 3, 7, 7)),
}
"""A tensor that tells a detector's checkpoints from all others."""


def recognise(state: Mapping[str, Tensor]) -> str | None:
    """Name the detector that a state dict belongs to, by the shapes in it; None if it is no known one."""
    for name, (key, shape) in _SIGNATURES.items():
        if key in state and tuple(state[key].shape) == shape:
            return name
    return None


def load_network(network: nn.Module, path: str | Path, detector_name: str) -> None:
    """Load a weights file into a network strictly: every tensor is there, fits, and is used.

    `detector_name` is what the network is, for the message. Raises ValueError as `load_state` does, and
    when the weights do not fit, naming the network they belong to if it is known, otherwise every kind of
    difference.
    """
    state = load_state(path)
    problems = check_keys(network, state)
    if problems:
        belongs_to = recognise(state)
        if belongs_to not in (None, detector_name):
            raise ValueError(
                f"{path} holds weights of {belongs_to}, not of {detector_name}: use them as {belongs_to}"
            )
        raise ValueError(f"{path} does not fit {detector_name}: " + "; ".join(problems))
    network.load_state_dict(
        state, strict=False
    )  # strict is what check_keys was; only step counters may be absent
