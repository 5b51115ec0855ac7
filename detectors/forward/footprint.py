"""The memory that a forward pass of an anchor network will take, found by running it on "meta" tensors."""

import copy
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode

from detectors.networks.anchor_network import AnchorNetwork

MAX_ELEMENTS: Final = 2**31 - 1
"""The most elements of one tensor; beyond it, torch is silently wrong in some operations and refuses others."""


@dataclass(frozen=True, slots=True)
class Footprint:
    """The memory that the forward pass of one image takes; a batch takes a multiple of it."""

    input_bytes: int
    """Size of the network's input in single precision."""
    activation_bytes: int
    """The peak size of the layers' inputs and outputs, including those kept for later layers."""
    answer_bytes: int
    """Size of the network's outputs, and of the priors, confidences and order used to choose candidates."""
    largest_elements: int
    """The number of elements of the largest tensor."""

    @property
    def total_bytes(self) -> int:
        """The sum of the terms, without the workspace that a library needs for convolutions."""
        return self.input_bytes + self.activation_bytes + self.answer_bytes


def footprint(network: AnchorNetwork, height: int, width: int) -> Footprint:
    """The memory for a forward pass of one image of this size, estimated in milliseconds without allocating it."""
    shapes = copy.deepcopy(network, _shared_parameters(network)).eval()
    image = torch.empty(1, 3, height, width, device="meta")
    with torch.inference_mode(), _Tracker() as tracker:
        answers = shapes(image)
    num_priors = answers[0].shape[1]
    answer_values = sum(answer.shape[-1] for answer in answers)
    # besides the outputs: priors (4 values), and sorted confidences with their order in 8 bytes
    return Footprint(
        input_bytes=image.numel() * 4,
        activation_bytes=tracker.peak_bytes,
        answer_bytes=num_priors * (4 * (answer_values + 4 + 1) + 8),
        largest_elements=max(tracker.largest_elements, image.numel()),
    )


def _shared_parameters(network: AnchorNetwork) -> dict[int, Any]:
    """Replacements for a network's tensors in a copy: empty ones of the same shapes that take no memory."""
    tensors = [*network.parameters(), *network.buffers()]
    empty: dict[int, Any] = {}
    for tensor in tensors:
        without = torch.empty_like(tensor, device="meta")
        is_parameter = isinstance(tensor, torch.nn.Parameter)
        empty[id(tensor)] = torch.nn.Parameter(without, requires_grad=False) if is_parameter else without
    return empty


class _Tracker(TorchDispatchMode):
    """A mode that adds up the storages alive after each operation."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.peak_bytes = 0
        self.largest_elements = 0
        self._alive: dict[int, tuple[StorageWeakRef, int]] = {}

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, (tuple, list)) else (result,):
            if isinstance(tensor, Tensor):
                self.largest_elements = max(self.largest_elements, tensor.numel())
                reference = StorageWeakRef(tensor.untyped_storage())
                self._alive[reference.cdata] = (reference, tensor.untyped_storage().nbytes())
        self._alive = {key: item for key, item in self._alive.items() if not item[0].expired()}
        self.peak_bytes = max(self.peak_bytes, sum(size for _, size in self._alive.values()))
        return result
