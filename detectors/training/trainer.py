"""One step of a detector's training, and everything that a run must remember between two steps.

A step is a function of the state, the batch and the step's number alone: no clock, file or global random
state decides anything, so a run that is stopped and continued equals one that was not, bit for bit on a
CPU.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from crface.training.replicas import ALONE, Replicas
from detectors.adapter import placed
from detectors.forward.pixels import to_input
from detectors.networks.anchor_network import AnchorNetwork
from detectors.networks.priors import decode_boxes, make_priors
from detectors.training.augmentation import Sample
from detectors.training.config import DetectorTrainConfig
from detectors.training.matching import Targets, make_targets, match_batch
from detectors.training.mining import compensate_batch
from detectors.training.multibox_loss import landmark_loss, multibox_loss

_NOTHING: Mapping[str, Tensor] = {}


@dataclass(frozen=True, slots=True)
class StepReport:
    """What a step did: the parts of the loss before it, and the step's size."""

    step: int
    loss: float
    box_loss: float
    class_loss: float
    landmark_loss: float
    learning_rate: float
    gradient_norm: float


def learning_rate(config: DetectorTrainConfig, step: int) -> float:
    """Learning rate of a step: a linear rise, a constant, a linear fall to just above zero.

    From each milestone on it is a fixed share of that.
    """
    rise = min(1.0, (step + 1) / config.warmup_iterations) if config.warmup_iterations else 1.0
    steps_of_decay = config.iterations - config.decay_start
    fall = min(1.0, (config.iterations - step) / (steps_of_decay + 1))
    passed = sum(step >= milestone for milestone in config.milestones)
    return config.learning_rate * rise * fall * config.milestone_factor**passed


def sample_generator(config: DetectorTrainConfig, step: int, position: int) -> np.random.Generator:
    """The generator that draws the augmentation of one sample of a step."""
    return np.random.default_rng([config.seed, 1, step, position])


class Trainer:
    """A training run between two steps: `network`, its `average`, the optimizer, the number of steps done.

    A new run starts from random weights drawn from the seed, except for the tensors in `start` (by their keys in the
    network's state dict); `load_state` continues another. Of several processes (`replicas`) each has a trainer, learns
    from its part of every batch, and holds the same weights after every step; negatives are mined and batches
    normalised within each part, so the result is that of smaller batches, not bit for bit that of one process.
    """

    def __init__(
        self,
        network: AnchorNetwork,
        config: DetectorTrainConfig,
        device: str | torch.device = "cpu",
        start: Mapping[str, Tensor] = _NOTHING,
        replicas: Replicas = ALONE,
    ) -> None:
        self.config = config
        self.device = torch.device(device)
        self.replicas = replicas
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            network.initialise()
        network.load_state_dict(start, strict=False)
        self.network = placed(network, self.device).train()
        self.average = {key: value.detach().clone() for key, value in network.state_dict().items()}
        self.steps_done = 0
        self._forward = replicas.wrap(self.network)
        self._parameters = dict(network.named_parameters())
        self._optimizer = _new_optimizer(network, config)
        self._priors = make_priors(config.side_px, config.side_px, network.layout, self.device)

    def step(self, samples: Sequence[Sample]) -> StepReport:
        """Learn from one batch, or from this process's part of it.

        Raises ValueError when the loss is not finite: the run has diverged, and this trainer can no longer be used.
        """
        config = self.config
        rate = learning_rate(config, self.steps_done)
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        images = torch.from_numpy(np.stack([sample.image for sample in samples])).to(self.device)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=config.precision == "bfloat16"):
            outputs = self._forward(to_input(images))
        offsets, logits, *others = (output.float() for output in outputs)
        targets = self._targets(samples, offsets.detach())
        num_positives = self.replicas.mean(float((targets.labels >= 0).sum()))
        parts = multibox_loss(offsets, logits, targets, config.negatives_per_positive, num_positives)
        loss = parts.total(config.box_weight)
        landmarks = loss.new_zeros(())
        if config.landmark_weight > 0:
            landmarks = landmark_loss(others[0], targets, self.replicas)
            loss = loss + config.landmark_weight * landmarks
        total, boxes, classes, points = (
            self.replicas.mean(part.item()) for part in (loss, parts.boxes, parts.classes, landmarks)
        )
        if not np.isfinite(total):
            raise ValueError(
                f"the detector's loss at step {self.steps_done} is not finite: "
                f"train with a lower learning_rate than {config.learning_rate}"
            )
        self._optimizer.zero_grad()
        loss.backward()
        norm = nn.utils.clip_grad_norm_(self.network.parameters(), config.max_gradient_norm)
        self._optimizer.step()
        self._update_average()
        self.steps_done += 1
        return StepReport(self.steps_done, total, boxes, classes, points, rate, float(norm))

    def state(self) -> dict[str, Tensor]:
        """Everything that the next step depends on: tensors `network.*`, `average.*`, `optimizer.*`."""
        optimizer = {
            f"{kind}.{key}": value
            for key, parameter in self._parameters.items()
            for kind, value in self._optimizer.state.get(parameter, {}).items()
        }
        parts = {"network": self.network.state_dict(), "average": self.average, "optimizer": optimizer}
        return {f"{part}.{key}": value for part, tensors in parts.items() for key, value in tensors.items()}

    def load_state(self, state: Mapping[str, Tensor], steps_done: int) -> None:
        """Continue where another trainer's `state` was taken after `steps_done` steps.

        Raises ValueError when the tensors are not those of this network.
        """
        wrong = ValueError("the checkpoint is not one of this network: train into an empty folder")
        parts: dict[str, dict[str, Tensor]] = {"network": {}, "average": {}, "optimizer": {}}
        for name, value in state.items():
            part, _, key = name.partition(".")
            if part not in parts:
                raise wrong
            parts[part][key] = value.to(self.device)
        try:
            self.network.load_state_dict(parts["network"])
            self.average = {key: parts["average"][key].clone() for key in self.average}
            for name, value in parts["optimizer"].items():
                kind, _, key = name.partition(".")
                parameter = self._parameters[key]
                # moments lie in memory as their parameter does: another layout would give other roundings
                kept = torch.empty_like(parameter).copy_(value) if value.shape == parameter.shape else value
                self._optimizer.state[parameter][kind] = kept.detach()
        except (RuntimeError, KeyError) as error:
            raise wrong from error
        self.steps_done = steps_done

    @torch.no_grad()
    def _targets(self, samples: Sequence[Sample], offsets: Float[Tensor, "batch prior 4"]) -> Targets:
        config = self.config
        faces = [torch.from_numpy(sample.faces).to(self.device) for sample in samples]
        ignored = [torch.from_numpy(sample.ignored).to(self.device) for sample in samples]
        priors_px = decode_boxes(torch.zeros_like(self._priors), self._priors) * config.side_px
        labels = match_batch(faces, ignored, priors_px, config.positive_iou)
        if config.anchors_per_face:
            regressed = decode_boxes(offsets, self._priors.expand_as(offsets)) * config.side_px
            labels = compensate_batch(labels, faces, regressed, config.anchors_per_face, config.regressed_iou)
        landmarks = [sample.landmarks for sample in samples]
        points = [None if p is None else torch.from_numpy(p).to(self.device) for p in landmarks]
        return make_targets(labels, faces, self._priors, config.side_px, points)

    @torch.no_grad()
    def _update_average(self) -> None:
        # Early on the average is of few steps: the random start must not linger in it.
        keep = min(self.config.average_decay, self.steps_done / (self.steps_done + 10))
        state = self.network.state_dict()
        averaged = [(self.average[key], value) for key, value in state.items() if value.is_floating_point()]
        torch._foreach_lerp_([a for a, _ in averaged], [v for _, v in averaged], 1 - keep)
        for key, value in state.items():
            if not value.is_floating_point():
                self.average[key].copy_(value)


def _new_optimizer(network: nn.Module, config: DetectorTrainConfig) -> torch.optim.Optimizer:
    weights = [p for p in network.parameters() if p.ndim > 1]
    others = [p for p in network.parameters() if p.ndim <= 1]  # biases and norms do not decay
    groups = [
        {"params": weights, "weight_decay": config.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    if config.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=config.learning_rate, momentum=config.momentum)
    return torch.optim.AdamW(groups, lr=config.learning_rate, betas=(config.momentum, config.square_momentum))
