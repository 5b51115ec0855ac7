"""What the arithmetic of a device allows: operations of a network, and operations a second of a large product."""

import copy
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import torch
from torch.utils.flop_counter import FlopCounterMode

from detectors.networks.anchor_network import AnchorNetwork

_SIDE: Final = {"cuda": 8192, "cpu": 1024}


def network_flops(network: AnchorNetwork, height: int, width: int) -> int:
    """The operations (a multiplication and an addition are two) of one image's forward; nothing is computed."""
    shapes = copy.deepcopy(network).to("meta").eval()
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        shapes(torch.empty(1, 3, height, width, device="meta"))
    return int(counter.get_total_flops())


def product_flops(device: str, dtype: torch.dtype, repeats: int) -> float:
    """Operations a second of the quickest of several products of two large matrices, as precise as convolutions are."""
    side = _SIDE[device]
    a, b = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
    with _precision_of_convolutions():
        seconds = min(seconds_of(lambda: a @ b, device) for _ in range(repeats + 1))
    return 2 * side**3 / seconds


def seconds_of(work: Callable[[], object], device: str) -> float:
    """How long a piece of work takes, from an idle device to an idle device."""
    wait(device)
    started = time.perf_counter()
    work()
    wait(device)
    return time.perf_counter() - started


def wait(device: str) -> None:
    """Wait until a GPU has done what it was given."""
    if device == "cuda":
        torch.cuda.synchronize()


@contextmanager
def _precision_of_convolutions() -> Iterator[None]:
    # of 32-bit numbers a GPU's tensor cores take 19 bits; torch allows that for convolutions only
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before
