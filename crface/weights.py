"""Weights in files: state dicts, read without running anything in the file, checked key by key, and written."""

import hashlib
import json
import pickle
import re
import warnings
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import Tensor, nn

from crface.file_kind import file_kind
from crface.text import cropped, quoted

_MAX_LISTED = 5
_MAX_DEPTH = 4
"""How deep in a checkpoint a state dict is looked for."""
_WRAPPED = re.compile(r"^((module|_orig_mod)\.)+")
_ATTRIBUTES = {"model", "net", "network", "detector"}
"""What training frameworks call the network in themselves."""
_METADATA_KEY = "crface"


def load_state(
    path: str | Path, fits: Callable[[Mapping[str, Tensor]], bool] | None = None
) -> dict[str, Tensor]:
    """The state dict in a safetensors file or a PyTorch checkpoint, on the CPU, without a `module.` prefix.

    No code in the file is run: pickled checkpoints are read with `weights_only=True`. A checkpoint may hold its
    state dict under any key (`state_dict`, `model`, `net`, ...), beside whatever else it keeps. Of several, the
    only one that `fits` is taken.

    Raises ValueError when the file is missing, damaged, of another kind, refused, or holds no state dict, or
    several that cannot be told apart.
    """
    path = Path(path)
    if not path.is_file():
        found = "is a folder" if path.is_dir() else "is not there"
        raise ValueError(f"the weights file {path} {found}: check the path")
    is_safetensors = path.suffix == ".safetensors"
    _check_kind(path, is_safetensors)
    try:
        content = load_file(path) if is_safetensors else _load_checkpoint(path)
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
    states = {key: _unprefixed(state) for key, state in _states(content)}
    if not states:
        keys = [str(key) for key in content] if isinstance(content, Mapping) else []
        found = f"; its keys are {_shortened(keys)}" if keys else ""
        raise ValueError(f"{path} holds no named tensors: a state dict is needed{found}")
    fitting = [state for state in states.values() if len(states) == 1 or (fits is not None and fits(state))]
    if len(fitting) != 1:
        lookup = "".join(f"[{quoted(part)}]" for part in next(iter(states)).split("."))
        raise ValueError(
            f"{path} holds {len(states)} state dicts, {_shortened(list(states))}: write the one to use to a file of "
            f"its own, as torch.save(torch.load({path.name!r}){lookup}, 'chosen.pth') does"
        )
    return fitting[0]


def check_keys(network: nn.Module, state: Mapping[str, Tensor]) -> list[str]:
    """What keeps a state dict from fitting a network (missing, unexpected, misshapen); empty if it fits.

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
    """The bytes of a safetensors file with the tensors of `state` and `metadata` about them.

    The same tensors and metadata give the same bytes, whatever their order.
    """
    tensors = {key: value.detach().cpu().contiguous() for key, value in state.items()}
    words = json.dumps(dict(metadata), sort_keys=True)
    return save(tensors, metadata={_METADATA_KEY: words})  # safetensors writes several entries in any order


def tensors_sha256(tensors: Mapping[str, Tensor]) -> str:
    """A SHA-256 of the names, types, shapes and values of tensors in any order, as 64 hexadecimal digits."""
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}\n".encode())
        values = tensor.detach().cpu().contiguous().reshape(-1)
        digest.update(values.view(torch.uint8).numpy().data)
    return digest.hexdigest()


def read_metadata(path: str | Path) -> dict[str, str]:
    """The metadata that `save_state` wrote beside the tensors; empty for a file without any.

    Metadata that others wrote are returned as they are. Raises ValueError when the file is missing or no safetensors
    file.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = dict(file.metadata() or {})
        words = json.loads(metadata[_METADATA_KEY]) if _METADATA_KEY in metadata else metadata
    except (SafetensorError, OSError, json.JSONDecodeError) as error:
        raise ValueError(f"{path} cannot be read as safetensors ({_first_line(error)})") from error
    if not isinstance(words, dict):
        raise ValueError(f"{path} has metadata that are not names with texts: write the file again")
    return {str(key): str(value) for key, value in words.items()}


def _check_kind(path: Path, is_safetensors: bool) -> None:
    """Refuse a file that is something else than its name says, in words of what it is."""
    try:
        kind = file_kind(path)
    except OSError as error:
        raise ValueError(f"the weights file {path} cannot be read: {error.strerror}") from error
    if kind is not None and not (kind.is_safetensors if is_safetensors else kind.is_checkpoint):
        raise ValueError(f"{path} is {kind.name}: {kind.remedy}")


def _states(content: object, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Mapping[str, Tensor]]]:
    """Every state dict in what a checkpoint holds, with the keys that lead to it, joined by dots.

    Mappings whose keys are not all strings, and what belongs to an optimizer, hold no network's weights; nor do
    tensors that are single numbers, as metrics are.
    """
    if not isinstance(content, Mapping) or not all(isinstance(key, str) for key in content):
        return
    values = list(content.values())
    if all(isinstance(value, Tensor) for value in values):
        if any(value.ndim for value in values):
            yield ".".join(path), content
    elif len(path) < _MAX_DEPTH:
        for key, value in content.items():
            if "optim" not in key.lower():
                yield from _states(value, (*path, key))


def _unprefixed(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A state dict without what wrappers put before its names: `module.` of several GPUs, `_orig_mod.` of compiling.

    A name that stands before every tensor's, as training frameworks put it, goes too.
    """
    plain = {_WRAPPED.sub("", key): value for key, value in state.items()}
    first = {key.partition(".")[0] for key in plain}
    if len(first) == 1 and first <= _ATTRIBUTES:
        plain = {key.partition(".")[2]: value for key, value in plain.items()}
    return plain


def _load_checkpoint(path: Path) -> object:
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            # TorchScript programs compress their code, and torch.load says what they are
            data = (part for part in archive.infolist() if "/code/" not in part.filename)
            if any(part.compress_type != zipfile.ZIP_STORED for part in data):
                raise ValueError(
                    "its parts are compressed, which PyTorch never does: they may unpack to any size"
                )
    with warnings.catch_warnings():
        # PyTorch warns of unusual pickle protocols: a file that cannot be read is an error anyway
        warnings.simplefilter("ignore", UserWarning)
        return torch.load(path, map_location="cpu", weights_only=True)


def _shortened(names: list[str]) -> str:
    more = f", and {len(names) - _MAX_LISTED} more" if len(names) > _MAX_LISTED else ""
    return ", ".join(map(cropped, names[:_MAX_LISTED])) + more


def _first_line(error: BaseException) -> str:
    return cropped((str(error).splitlines() or [type(error).__name__])[0])
