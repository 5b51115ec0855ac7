"""Several processes that train one network together: started by torchrun, one when it was not."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import torch
from torch import nn
from torch.distributed import ReduceOp, all_reduce, barrier, destroy_process_group, init_process_group
from torch.nn.parallel import DistributedDataParallel


@dataclass(frozen=True, slots=True)
class Replicas:
    """This process among those that train together: its number, and how many there are."""

    rank: int = 0
    count: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this process is the one that writes files and speaks."""
        return self.rank == 0

    def wrap(self, network: nn.Module) -> nn.Module:
        """Give the module to call so that gradients are averaged over all processes; the network itself if alone."""
        if self.count == 1:
            return network
        # a head without a loss (landmarks without labels) has no gradient, which is no error
        return DistributedDataParallel(network, find_unused_parameters=True)

    def mean(self, value: float) -> float:
        """Give the mean of every process's value, the same to all."""
        if self.count == 1:
            return value
        total = torch.tensor(value, dtype=torch.float64, device=_device())
        all_reduce(total, ReduceOp.SUM)
        return total.item() / self.count

    def wait(self) -> None:
        """Come back when every process has called this."""
        if self.count > 1:
            barrier()


ALONE: Final = Replicas()
"""Training in this process only."""


@contextmanager
def joined() -> Iterator[Replicas]:
    """Join the processes that torchrun started, by the variables that it sets; alone where it did not.

    Processes talk over NCCL where there are GPUs (each takes the one of its LOCAL_RANK), over gloo elsewhere.
    """
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1:
        yield ALONE
        return
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    try:
        yield Replicas(int(os.environ["RANK"]), count)
    finally:
        destroy_process_group()


def _device() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"
