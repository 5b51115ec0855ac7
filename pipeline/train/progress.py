"""What a training reports while it runs: each step, or that its loss is no longer finite."""

from dataclasses import dataclass

from pipeline.errors import UserError


class TrainingDivergedError(UserError):
    """The loss is no longer finite: another learning rate, or a look at the batch, may mend that."""


@dataclass(frozen=True, slots=True)
class TrainProgress:
    """One step that was taken."""

    steps_done: int
    iterations: int
    loss: float
    learning_rate: float
