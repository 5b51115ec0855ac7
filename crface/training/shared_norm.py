"""Batch normalisation over a batch whose parts lie in several processes: the numbers of one process, to a rounding."""

from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.distributed import all_reduce


def share_statistics(network: nn.Module, num_processes: int) -> None:
    """Have each batch norm of a network take its statistics over all processes; weights and keys stay as they are.

    Every process must call the network as often, with parts of equal size. On GPUs a norm becomes PyTorch's
    SyncBatchNorm, which has no form for CPUs.
    """
    is_cuda = any(parameter.is_cuda for parameter in network.parameters())
    for module in list(network.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, nn.BatchNorm2d):
                shared = (
                    nn.SyncBatchNorm.convert_sync_batchnorm(child)
                    if is_cuda
                    else SharedBatchNorm(child, num_processes)
                )
                setattr(module, name, shared)


class SharedBatchNorm(nn.Module):
    """A batch norm, with its weights and running statistics, in each of several processes."""

    def __init__(self, norm: nn.BatchNorm2d, num_processes: int) -> None:
        super().__init__()
        assert norm.momentum is not None
        self.weight, self.bias = norm.weight, norm.bias
        self._momentum, self._eps, self._num_processes = norm.momentum, norm.eps, num_processes
        self.running_mean: Tensor
        self.running_var: Tensor
        self.num_batches_tracked: Tensor
        for name, buffer in norm.named_buffers():
            self.register_buffer(name, buffer)

    def forward(self, values: Float[Tensor, "image channel y x"]) -> Float[Tensor, "image channel y x"]:
        """Normalise by the mean and variance of all processes' values; in evaluation mode by the running ones."""
        if not self.training:
            running = (self.running_mean, self.running_var)
            return F.batch_norm(values, *running, self.weight, self.bias, False, 0.0, self._eps)
        single = values.float()
        count = self._num_processes * values.numel() / values.shape[1]
        mean = _total(single.sum(dim=(0, 2, 3))) / count
        # from the deviations, not as the mean of squares minus the square of the mean, which loses digits
        deviation = single - mean[:, None, None]
        variance = _total(deviation.square().sum(dim=(0, 2, 3))) / count
        with torch.no_grad():
            self.running_mean.lerp_(mean, self._momentum)
            self.running_var.lerp_(variance * count / (count - 1), self._momentum)
            self.num_batches_tracked += 1
        factor = self.weight * (variance + self._eps).rsqrt()
        return (deviation * factor[:, None, None] + self.bias[:, None, None]).to(values.dtype)


class _Total(torch.autograd.Function):
    """The sum over processes; a gradient that arrives in any of them concerns the values of all."""

    @staticmethod
    def forward(_: Any, values: Tensor) -> Tensor:
        total = values.clone()
        all_reduce(total)
        return total

    @staticmethod
    def backward(_: Any, *gradients: Tensor) -> Tensor:
        total = gradients[0].clone()
        all_reduce(total)
        return total


def _total(values: Tensor) -> Tensor:
    total: Tensor = _Total.apply(values)
    return total
