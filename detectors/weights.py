"""Weights of detectors: loaded into a network strictly, or refused with a message that names where they belong."""

from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path

import torch
from torch import Tensor, nn

from crface.backbones.recognition import recognise_trunk
from crface.weights import check_keys, load_state, read_metadata
from detectors.networks.by_name import NETWORKS


def recognise(state: Mapping[str, Tensor]) -> str | None:
    """The detector of this package whose network a state dict fits key by key; None if there is none."""
    fitting = (name for name, make in NETWORKS.items() if not check_keys(_shapes_of(make), state))
    return next(fitting, None)


def load_network(network: nn.Module, path: str | Path, detector_name: str) -> None:
    """Load a weights file into a network strictly: every tensor is there, fits, and is used.

    `detector_name` names the network in messages. Of several state dicts in the file, the only one that fits is
    loaded. Raises ValueError as `load_state` does, and when the weights do not fit: naming the detector or the
    trunk that they belong to if it is another one, otherwise every kind of difference.
    """
    if Path(path).suffix == ".onnx":
        raise ValueError(
            f"{path} is an ONNX file, which brings its own network: use it as onnx@DESCRIPTOR.toml with a file "
            "that describes it"
        )
    state = load_state(path, lambda state: not check_keys(network, state))
    problems = check_keys(network, state)
    if problems:
        owner = _owner(state, network, path, detector_name)
        raise ValueError(
            f"{path} does not fit {detector_name}: " + "; ".join(problems)
            if owner is None
            else f"{path} holds weights of {owner}"
        )
    network.load_state_dict(state, strict=False)  # check_keys was strict; only step counters may be absent


def _owner(
    state: Mapping[str, Tensor], network: nn.Module, path: str | Path, detector_name: str
) -> str | None:
    """The owner of weights that are clearly meant for another network, and what to do with them; else None."""
    detector = recognise(state) or _said_by(path)
    if detector not in (None, detector_name):
        return f"{detector}, not of {detector_name}: use them as {detector}"
    trunk, own_trunk = recognise_trunk(state), recognise_trunk(network.state_dict())
    if trunk is not None and trunk.is_bare:
        return (
            f"{trunk.name} alone, not of {detector_name}: a detector can be trained from them, but by "
            "themselves they find no faces"
        )
    if trunk is not None and own_trunk is not None and trunk.name != own_trunk.name:
        return f"a network on {trunk.name}, not of {detector_name}, which is on {own_trunk.name}"
    return None


@cache
def _shapes_of(make: Callable[[], nn.Module]) -> nn.Module:
    """A network of shapes alone, without memory for its tensors; large ones still take most of a second to make."""
    with torch.device("meta"):
        return make()


def _said_by(path: str | Path) -> str | None:
    """The detector that a file of this project names; nothing else tells detectors of other packages."""
    return read_metadata(path).get("detector") if Path(path).suffix == ".safetensors" else None
