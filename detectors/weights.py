"""Weights in files, ours (safetensors) or published checkpoints: loaded strictly or refused in a sentence."""

import pickle
import warnings
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import Tensor, nn

_MAX_LISTED = 5
_SIGNATURES: dict[str, tuple[str, tuple[int, ...]]] = {
    "retinaface-mobilenet0.25": ("body.stage1.0.0.weight", (8, 3, 3, 3)),
    "retinaface-resnet50": ("body.conv1.weight", (64, 3, 7, 7)),
}
"""A tensor that tells a detector's checkpoints from all others."""


def load_state(path: str | Path) -> dict[str, Tensor]:
    """Read a state dict from safetensors or a PyTorch checkpoint, on the CPU, without a `module.` prefix.

    No code of the file is run: pickled checkpoints are read with `weights_only=True`. A checkpoint that
    holds its state under `state_dict` or `model` is unwrapped.

    Raises ValueError when the file is missing, damaged, refused, or holds no named tensors.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"there is no weights file {path}: check the path")
    try:
        content = load_file(path) if path.suffix == ".safetensors" else _load_checkpoint(path)
    except pickle.UnpicklingError as error:
        raise ValueError(
            f"{path} is refused: it is no plain checkpoint of tensors, loading it could run foreign code; "
            "convert it to safetensors where it is trusted"
        ) from error
    except Exception as error:  # bytes that are no checkpoint can make an unpickler raise anything
        raise ValueError(
            f"{path} cannot be read as weights ({_first_line(error)}): fetch the file again"
        ) from error
    for wrapper in ("state_dict", "model"):
        if isinstance(content, Mapping) and isinstance(content.get(wrapper), Mapping):
            content = content[wrapper]
    if (
        not isinstance(content, Mapping)
        or not content
        or not all(isinstance(v, Tensor) for v in content.values())
    ):
        raise ValueError(f"{path} holds no named tensors: a state dict is needed")
    return {str(key).removeprefix("module."): value for key, value in content.items()}


def check_keys(network: nn.Module, state: Mapping[str, Tensor]) -> list[str]:
    """Name what keeps a state dict from fitting a network (missing, unexpected, misshapen); empty if it fits.

    One phrase for each of the three kinds, with the count and the first few names.
    """
    wanted = network.state_dict()
    # Old PyTorch wrote no step counter for batch normalisation; it decides nothing in evaluation.
    missing = [k for k in wanted if k not in state and not k.endswith("num_batches_tracked")]
    unexpected = [k for k in state if k not in wanted]
    misshapen = [
        f"{k} {list(state[k].shape)} instead of {list(wanted[k].shape)}"
        for k in wanted
        if k in state and state[k].shape != wanted[k].shape
    ]
    kinds = {"missing": missing, "unexpected": unexpected, "misshapen": misshapen}
    return [f"{len(names)} {kind}: {_shortened(names)}" for kind, names in kinds.items() if names]


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


def save_state(state: Mapping[str, Tensor], metadata: Mapping[str, str]) -> bytes:
    """Give the bytes of a safetensors file: the tensors of `state` and words about them."""
    return save(
        {key: value.detach().cpu().contiguous() for key, value in state.items()}, metadata=dict(metadata)
    )


def read_metadata(path: str | Path) -> dict[str, str]:
    """Read the words that `save_state` wrote beside the tensors; empty for a file without any.

    Raises ValueError when the file is missing or no safetensors file.
    """
    try:
        with safe_open(path, framework="pt") as file:
            return dict(file.metadata() or {})
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path} cannot be read as safetensors ({_first_line(error)})") from error


def _load_checkpoint(path: Path) -> object:
    with warnings.catch_warnings():
        # of an unusual pickle protocol: if it cannot be read, the error says so
        warnings.simplefilter("ignore", UserWarning)
        return torch.load(path, map_location="cpu", weights_only=True)


def _shortened(names: list[str]) -> str:
    more = f", and {len(names) - _MAX_LISTED} more" if len(names) > _MAX_LISTED else ""
    return ", ".join(names[:_MAX_LISTED]) + more


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
