"""Weights in files: state dicts read without running anything in the file, checked key by key, written."""

import hashlib
import json
import pickle
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import Tensor, nn

_MAX_LISTED = 5
_METADATA_KEY = "crface"


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
    except Exception as error:  # bytes that are no checkpoint can make an unpickler raise anything
        # PyTorch's own words for a program or an object advise to read it without this protection
        if isinstance(error, pickle.UnpicklingError) or "weights_only" in str(error):
            raise ValueError(
                f"{path} is refused: it is no plain checkpoint of tensors, loading it could run foreign code; "
                "convert it to safetensors where it is trusted"
            ) from error
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


def save_state(state: Mapping[str, Tensor], metadata: Mapping[str, str]) -> bytes:
    """Give the bytes of a safetensors file: the tensors of `state` and words about them.

    The same tensors and words give the same bytes, in whatever order they come.
    """
    tensors = {key: value.detach().cpu().contiguous() for key, value in state.items()}
    words = json.dumps(dict(metadata), sort_keys=True)
    return save(tensors, metadata={_METADATA_KEY: words})  # safetensors writes several entries in any order


def tensors_sha256(tensors: Mapping[str, Tensor]) -> str:
    """Hash names, types, shapes and values of tensors, in whatever order they come, to 64 hexadecimal digits."""
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}\n".encode())
        values = tensor.detach().cpu().contiguous().reshape(-1)
        digest.update(values.view(torch.uint8).numpy().data)
    return digest.hexdigest()


def read_metadata(path: str | Path) -> dict[str, str]:
    """Read the words that `save_state` wrote beside the tensors; empty for a file without any.

    Of a file that others wrote, its metadata as they are. Raises ValueError when the file is missing or no
    safetensors file.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = dict(file.metadata() or {})
        words = json.loads(metadata[_METADATA_KEY]) if _METADATA_KEY in metadata else metadata
    except (SafetensorError, OSError, json.JSONDecodeError) as error:
        raise ValueError(f"{path} cannot be read as safetensors ({_first_line(error)})") from error
    if not isinstance(words, dict):
        raise ValueError(f"{path} has metadata that are no words by name: write the file again")
    return {str(key): str(value) for key, value in words.items()}


def _load_checkpoint(path: Path) -> object:
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            # a program (TorchScript) compresses its code, and torch.load says what it is
            data = (part for part in archive.infolist() if "/code/" not in part.filename)
            if any(part.compress_type != zipfile.ZIP_STORED for part in data):
                raise ValueError(
                    "its parts are compressed, which PyTorch never does: they may unpack to any size"
                )
    with warnings.catch_warnings():
        # of an unusual pickle protocol: if it cannot be read, the error says so
        warnings.simplefilter("ignore", UserWarning)
        return torch.load(path, map_location="cpu", weights_only=True)


def _shortened(names: list[str]) -> str:
    more = f", and {len(names) - _MAX_LISTED} more" if len(names) > _MAX_LISTED else ""
    return ", ".join(names[:_MAX_LISTED]) + more


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
