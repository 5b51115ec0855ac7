"""One step of a detector's training, and everything that a run must remember between two steps.

A step is a function of the state, the batch and the step's number alone: no clock, file or global random
state decides anything, so a run that is stopped and continued equals one that was not, bit for bit on a
CPU.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int64
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor, nn

from detectors.adapter import placed, to_input
from detectors.anchor_network import AnchorNetwork
from detectors.augmentation import Sample, Scales
from detectors.matching import Targets, make_targets, match_batch
from detectors.mining import compensate_batch
from detectors.multibox_loss import multibox_loss
from detectors.priors import decode_boxes, make_priors


class DetectorTrainConfig(BaseModel):
    """How a detector is trained; the defaults make the shipped mobilenet0.25 in about an hour on a CPU.

    The original schedule (RetinaFace, section 4.3, for four GPUs): side 640 or 840, batch 32, 80 - 250
    epochs, steps of a tenth. Here a short run with AdamW, which starts twice as fast as SGD does, ends in a
    linear decay to zero, and the average of the weights is kept.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    seed: int = Field(0, ge=0, description="seed of weights, order, crops and colours")
    side_px: int = Field(320, ge=32, le=2048, description="side of the square training images")
    batch_size: int = Field(
        16, ge=2, le=4096, description="images in a step; batch normalisation needs at least two"
    )
    iterations: int = Field(3600, ge=1, description="steps of the whole run")
    learning_rate: float = Field(0.006, gt=0.0, lt=10.0, description="after the warm-up, until the decay")
    warmup_iterations: int = Field(
        50, ge=0, description="steps in which the learning rate rises to its value"
    )
    decay_share: float = Field(
        0.4, ge=0.0, le=1.0, description="last share of the run, in which the learning rate falls to zero"
    )
    momentum: float = Field(0.9, ge=0.0, lt=1.0, description="of the gradient (Adam's beta 1)")
    square_momentum: float = Field(0.99, ge=0.0, lt=1.0, description="of its square (Adam's beta 2)")
    weight_decay: float = Field(0.01, ge=0.0, lt=1.0, description="of convolution weights, decoupled")
    max_gradient_norm: float = Field(
        10.0, gt=0.0, description="longer gradients are scaled down to this length"
    )
    average_decay: float = Field(
        0.998, ge=0.0, lt=1.0, description="share of the averaged weights that a step keeps; 0: no average"
    )
    positive_iou: float = Field(
        0.35, gt=0.0, lt=1.0, description="overlap from which a prior is to find a face"
    )
    anchors_per_face: int = Field(
        0, ge=0, le=100, description="HAMBox's K: faces with fewer anchors are given more; 0: no such mining"
    )
    regressed_iou: float = Field(
        0.8,
        gt=0.0,
        le=1.0,
        description="HAMBox's T: overlap from which a regressed box is good enough for that",
    )
    negatives_per_positive: int = Field(
        7, ge=1, le=1000, description="hardest background priors learned for each positive"
    )
    box_weight: float = Field(2.0, ge=0.0, description="weight of the box term of the loss")
    smallest_scale: float = Field(
        0.35, gt=0.0, le=16.0, description="photographs are scaled down to this at most"
    )
    largest_scale: float = Field(
        2.5, gt=0.0, le=16.0, description="photographs are scaled up to this at most"
    )
    min_face_px: float = Field(
        6.0, ge=1.0, description="smaller faces (root of the area, after scaling) teach nothing"
    )
    checkpoint_every: int = Field(500, ge=1, description="steps between checkpoints")

    @model_validator(mode="after")
    def _scales_in_order(self) -> "DetectorTrainConfig":
        if self.smallest_scale > self.largest_scale:
            raise ValueError(
                f"smallest_scale {self.smallest_scale} is above largest_scale {self.largest_scale}"
            )
        return self

    @property
    def scales(self) -> Scales:
        """The part that decides the scaling of photographs."""
        return Scales(smallest=self.smallest_scale, largest=self.largest_scale, min_face_px=self.min_face_px)

    @property
    def decay_start(self) -> int:
        """The first step of the decay; up to there the run does not depend on `iterations`."""
        return self.iterations - round(self.iterations * self.decay_share)


@dataclass(frozen=True, slots=True)
class StepReport:
    """What a step did: the parts of the loss before it, and the step's size."""

    step: int
    loss: float
    box_loss: float
    class_loss: float
    learning_rate: float
    gradient_norm: float


def learning_rate(config: DetectorTrainConfig, step: int) -> float:
    """Give the learning rate of a step: a linear rise, a constant, a linear fall to just above zero."""
    rise = min(1.0, (step + 1) / config.warmup_iterations) if config.warmup_iterations else 1.0
    steps_of_decay = config.iterations - config.decay_start
    fall = min(1.0, (config.iterations - step) / (steps_of_decay + 1))
    return config.learning_rate * rise * fall


def batch_rows(config: DetectorTrainConfig, num_images: int, step: int) -> Int64[np.ndarray, " batch"]:
    """Give the images of a step: every epoch is its own shuffle of all images, drawn from (seed, epoch)."""
    first = step * config.batch_size
    positions = np.arange(first, first + config.batch_size)
    orders = {
        epoch: np.random.default_rng([config.seed, 0, epoch]).permutation(num_images)
        for epoch in {int(position) // num_images for position in positions}
    }
    return np.array([orders[int(p) // num_images][int(p) % num_images] for p in positions], dtype=np.int64)


def sample_generator(config: DetectorTrainConfig, step: int, position: int) -> np.random.Generator:
    """Give the generator that draws the augmentation of one sample of a step."""
    return np.random.default_rng([config.seed, 1, step, position])


class Trainer:
    """A training run between two steps: `network`, its `average`, the optimizer, the number of steps done.

    A new run starts from random weights drawn from the seed; `load_state` continues another.
    """

    def __init__(
        self, network: AnchorNetwork, config: DetectorTrainConfig, device: str | torch.device = "cpu"
    ) -> None:
        self.config = config
        self.device = torch.device(device)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            network.initialise()
        self.network = placed(network, self.device).train()
        self.average = {key: value.detach().clone() for key, value in network.state_dict().items()}
        self.steps_done = 0
        self._parameters = dict(network.named_parameters())
        weights = [p for p in network.parameters() if p.ndim > 1]
        others = [p for p in network.parameters() if p.ndim <= 1]  # biases and norms do not decay
        self._optimizer = torch.optim.AdamW(
            [
                {"params": weights, "weight_decay": config.weight_decay},
                {"params": others, "weight_decay": 0.0},
            ],
            lr=config.learning_rate,
            betas=(config.momentum, config.square_momentum),
        )
        self._priors = make_priors(config.side_px, config.side_px, network.layout).to(self.device)

    def step(self, samples: Sequence[Sample]) -> StepReport:
        """Learn from one batch.

        Raises ValueError when the loss is not finite: the run has diverged, and this trainer is of no more use.
        """
        config = self.config
        rate = learning_rate(config, self.steps_done)
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        images = torch.from_numpy(np.stack([sample.image for sample in samples])).to(self.device)
        offsets, logits, *_ = self.network(to_input(images))
        targets = self._targets(samples, offsets.detach())
        parts = multibox_loss(offsets, logits, targets, config.negatives_per_positive)
        loss = parts.total(config.box_weight)
        if not bool(loss.isfinite()):
            raise ValueError(
                f"the detector's loss at step {self.steps_done} is not finite: "
                f"train with a lower learning_rate than {config.learning_rate}"
            )
        self._optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        norm = nn.utils.clip_grad_norm_(self.network.parameters(), config.max_gradient_norm)
        self._optimizer.step()
        self._update_average()
        self.steps_done += 1
        return StepReport(
            self.steps_done, loss.item(), parts.boxes.item(), parts.classes.item(), rate, float(norm)
        )

    def state(self) -> dict[str, Tensor]:
        """Give all that the next step depends on: tensors `network.*`, `average.*`, `optimizer.*`."""
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
        return make_targets(labels, faces, self._priors, config.side_px)

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
