"""What a forward of an anchor network will take, found by running it on tensors without memory ("meta")."""

import copy
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode

from detectors.networks.anchor_network import AnchorNetwork

MAX_ELEMENTS: Final = 2**31 - 1
"""Of one tensor. With more, torch goes silently wrong in some operations and refuses others."""


@dataclass(frozen=True, slots=True)
class Footprint:
    """What the forward of one image takes; a batch takes as many times that."""

    input_bytes: int
    """The network's input, single precision."""
    activation_bytes: int
    """The most that inputs and outputs of layers, those kept for later included, take at one time."""
    answer_bytes: int
    """The network's outputs, and the priors, confidences and order that candidates are chosen with."""
    largest_elements: int
    """The number of elements of the largest tensor."""

    @property
    def total_bytes(self) -> int:
        """The sum of the terms; what a library takes for a convolution comes on top."""
        return self.input_bytes + self.activation_bytes + self.answer_bytes


def footprint(network: AnchorNetwork, height: int, width: int) -> Footprint:
    """Tell what a forward of one image of this size takes, in milliseconds and without taking it."""
    shapes = copy.deepcopy(network, _shared_parameters(network)).eval()
    image = torch.empty(1, 3, height, width, device="meta")
    with torch.inference_mode(), _Tracker() as tracker:
        answers = shapes(image)
    num_priors = answers[0].shape[1]
    answer_values = sum(answer.shape[-1] for answer in answers)
    # beside the answers: priors (4 values), and sorted confidences with their order in 8 bytes
    return Footprint(
        input_bytes=image.numel() * 4,
        activation_bytes=tracker.peak_bytes,
        answer_bytes=num_priors * (4 * (answer_values + 4 + 1) + 8),
        largest_elements=max(tracker.largest_elements, image.numel()),
    )


def _shared_parameters(network: AnchorNetwork) -> dict[int, Any]:
    """What a copy's tensors become: empty ones of the same shape that take no memory."""
    tensors = [*network.parameters(), *network.buffers()]
    empty: dict[int, Any] = {}
    for tensor in tensors:
        without = torch.empty_like(tensor, device="meta")
        is_parameter = isinstance(tensor, torch.nn.Parameter)
        empty[id(tensor)] = torch.nn.Parameter(without, requires_grad=False) if is_parameter else without
    return empty


class _Tracker(TorchDispatchMode):
    """Adds up the storages that are alive after each operation."""

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
