"""Several processes that train one network together: started by torchrun, one when it was not."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import torch
from torch import Tensor, nn
from torch.distributed import (
    ReduceOp,
    all_gather,
    all_reduce,
    barrier,
    broadcast,
    destroy_process_group,
    init_process_group,
)
from torch.nn.parallel import DistributedDataParallel

_PATIENCE = timedelta(hours=2)  # the first process may be busy with held-out images while the others wait


@dataclass(frozen=True, slots=True)
class Replicas:
    """This process among those that train together: its number, and how many there are."""

    rank: int = 0
    count: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this process is the one that writes files and reports progress."""
        return self.rank == 0

    def wrap(self, network: nn.Module, *, may_lack_gradients: bool = True) -> nn.Module:
        """The module to call so that gradients are averaged over all processes; the network itself if alone.

        With `may_lack_gradients`, a part of the network without a loss (the landmark head without labels) is found and
        is no error.
        """
        if self.count == 1:
            return network
        return DistributedDataParallel(network, find_unused_parameters=may_lack_gradients)

    def mean(self, value: float) -> float:
        """The mean of every process's value, the same in all."""
        if self.count == 1:
            return value
        total = torch.tensor(value, dtype=torch.float64, device=_device())
        all_reduce(total, ReduceOp.SUM)
        return total.item() / self.count

    def part(self, whole: int) -> slice:
        """The places of this process's part in a batch of `whole`, which must be a multiple of the count."""
        size = whole // self.count
        return slice(self.rank * size, (self.rank + 1) * size)

    def gathered(self, part: Tensor) -> Tensor:
        """The parts of all processes, of equal shapes, concatenated; only this process's part receives a gradient."""
        if self.count == 1:
            return part
        sent = part.detach().contiguous()
        parts = [torch.empty_like(sent) for _ in range(self.count)]
        all_gather(parts, sent)
        parts[self.rank] = part
        return torch.cat(parts)

    def extend(self, lowest: Tensor, highest: Tensor) -> None:
        """Replace numbers by the lowest, and others by the highest, that any process has."""
        if self.count > 1:
            all_reduce(lowest, ReduceOp.MIN)
            all_reduce(highest, ReduceOp.MAX)

    def as_first_says(self, answer: bool) -> bool:
        """The first process's answer, the same in all."""
        if self.count == 1:
            return answer
        said = torch.tensor(int(answer), device=_device())
        broadcast(said, 0)
        return bool(said.item())

    def wait(self) -> None:
        """Wait until every process has called this."""
        if self.count > 1:
            barrier()


ALONE: Final = Replicas()
"""Training in this process only."""


@contextmanager
def joined() -> Iterator[Replicas]:
    """This process among those that torchrun started, by the variables it sets; `ALONE` without torchrun.

    Processes talk over NCCL where there are GPUs (each takes the one of its LOCAL_RANK), over gloo elsewhere.
    """
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1:
        yield ALONE
        return
    if torch.cuda.is_available():
        # a process that sees one GPU alone has number 0 for it, whatever its own number
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")) % torch.cuda.device_count())
    init_process_group("nccl" if torch.cuda.is_available() else "gloo", timeout=_PATIENCE)
    try:
        yield Replicas(int(os.environ["RANK"]), count)
    finally:
        destroy_process_group()


def _device() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"
