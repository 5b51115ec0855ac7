"""One step of the ranker's training, and everything that a run must remember between two (paper 4.2).

A step is a function of the state, the batch and the step's number alone: a run that is stopped and continued
equals one that was not, bit for bit on a CPU.
"""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from crface.losses import Loss, Targets
from crface.ranker.inputs import to_tensor
from crface.ranker.interface import Ranker
from crface.training.examples import Example, collated
from crface.training.replicas import ALONE, Replicas
from crface.training.shared_norm import share_statistics

Precision = Literal["float32", "bfloat16"]
"""Number format of the network: single precision, or mixed with bfloat16. Weights and loss are always single."""


def learning_rate(step: int, iterations: int, first: float, last: float) -> float:
    """Learning rate of a step: from `first` exponentially down to `last` at the last step."""
    return float(first * (last / first) ** (step / max(1, iterations - 1)))


class Trainer:
    """The network with its optimiser (Adam), between two steps.

    `average_decay` above 0 keeps an exponential average of the weights, of which a step leaves that share (less in
    the first steps, so that the random start is soon forgotten); `max_gradient_norm` above 0 scales longer
    gradients down to that length. The paper does neither, and single precision is not said. `is_compiled` has
    torch.compile translate the network's passes before the first step, which takes it minutes on a CPU; weights
    keep their names, and what they become differs by roundings.

    Of several processes (`replicas`) each has a trainer, steps on its part of every batch, and holds the same
    weights after it: those of one process that has the whole batch, to a rounding. Batch norms take the
    statistics of all parts, and each process computes the loss of the whole batch from the scores of all, so
    that a loss may normalise by the batch, or compare its images, as it likes.
    """

    def __init__(
        self,
        model: Ranker,
        loss: Loss,
        *,
        iterations: int,
        learning_rate: float,
        final_learning_rate: float,
        average_decay: float = 0.0,
        max_gradient_norm: float = 0.0,
        precision: Precision = "float32",
        is_compiled: bool = False,
        replicas: Replicas = ALONE,
    ) -> None:
        self.model = model
        self.replicas = replicas
        if replicas.count > 1:
            share_statistics(model, replicas.count)
        if is_compiled:
            model.compile()  # in place, where a copy (`trained`) does not have it
        self._forward = replicas.wrap(model, may_lack_gradients=False)
        self._loss = loss
        self._schedule = (iterations, learning_rate, final_learning_rate)
        self._optimizer = torch.optim.Adam(model.parameters(), lr=learning_rate, fused=True)
        self._average_decay = average_decay
        self._max_gradient_norm = max_gradient_norm
        self._is_mixed = precision == "bfloat16"
        self._average: dict[str, Tensor] = {}
        if average_decay > 0:
            self._average = {key: value.clone() for key, value in self._averaged_tensors().items()}

    def step(self, step: int, examples: Sequence[Example]) -> tuple[float, float]:
        """Learn from one batch, or this process's part of it; returns its loss before the step, and the learning rate.

        Raises FloatingPointError, in all processes, when the loss is not finite; the weights are then as they
        were before.
        """
        rate = learning_rate(step, *self._schedule)
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        device = next(self.model.parameters()).device
        pictures, rows, sizes, targets = collated(examples, device)
        self.model.train()
        with torch.autocast(device.type, torch.bfloat16, enabled=self._is_mixed):
            scores = self._forward(to_tensor(pictures), rows, sizes)
        if (observed := self.model.observed_range()) is not None:
            self.replicas.extend(*observed)
        loss = self._loss(self.replicas.gathered(scores.float()), self._all(targets))
        value = loss.item()
        if not np.isfinite(value):
            raise FloatingPointError(f"the loss is {value} at step {step}")
        self._optimizer.zero_grad()
        # the gradients' mean is taken over processes, of which each has those of its own scores: their sum is meant
        (loss * self.replicas.count).backward()
        if self._max_gradient_norm > 0:
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), self._max_gradient_norm)
        self._optimizer.step()
        decay = min(self._average_decay, (1 + step) / (10 + step))
        for key, tensor in self._averaged_tensors().items() if self._average else ():
            self._average[key].lerp_(tensor, 1 - decay)
        return value, rate

    def trained(self) -> Ranker:
        """The ranker as trained so far, in evaluation mode; with averaged weights, where they are kept."""
        model = deepcopy(self.model)
        model.load_state_dict(self._average, strict=False)
        return model.eval()

    def state(self) -> dict[str, Tensor]:
        """Every tensor that the next step depends on: the network's, the optimiser's and the average's."""
        tensors = {f"model.{key}": value for key, value in self.model.state_dict().items()}
        tensors |= {f"average.{key}": value for key, value in self._average.items()}
        for index, state in self._optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{index}.{key}": value for key, value in state.items()}
        return {key: value.detach().cpu().clone() for key, value in tensors.items()}

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Continue from a `state`.

        Raises ValueError when the tensors do not fit this network.
        """
        optimizer = self._optimizer.state_dict()
        model: dict[str, Tensor] = {}
        average: dict[str, Tensor] = {}
        for name, tensor in tensors.items():
            kind, _, key = name.partition(".")
            if kind == "optimizer":
                index, _, field = key.partition(".")
                optimizer["state"].setdefault(int(index), {})[field] = tensor.clone()  # Adam works in place
            else:
                (model if kind == "model" else average)[key] = tensor
        if average.keys() != self._average.keys():
            raise ValueError("the checkpoint does not fit the network: only one of them keeps an average")
        try:
            self.model.load_state_dict(model)
            self._optimizer.load_state_dict(optimizer)
            for key, value in average.items():
                self._average[key].copy_(value)
        except (RuntimeError, ValueError) as error:
            raise ValueError(f"the checkpoint does not fit the network: {error}") from error

    def _all(self, targets: Targets) -> Targets:
        """The targets of all processes' parts."""
        return Targets(
            predicted=self.replicas.gathered(targets.predicted),
            oracle=self.replicas.gathered(targets.oracle),
            face=self.replicas.gathered(targets.face),
            is_box=self.replicas.gathered(targets.is_box.byte()).bool(),
        )

    def _averaged_tensors(self) -> dict[str, Tensor]:
        """What an average is kept of: weights and statistics. Single numbers (counts, ranges) are not averaged."""
        return {
            key: value.detach()
            for key, value in self.model.state_dict().items()
            if value.is_floating_point() and value.dim() > 0
        }
