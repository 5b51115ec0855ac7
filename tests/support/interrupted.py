"""A training that stops after a number of steps."""

from collections.abc import Callable

from pipeline.train.progress import TrainProgress


class StoppedError(Exception):
    """The training was stopped where the test wanted it to be."""


def interrupt_after(steps: int) -> Callable[[TrainProgress], None]:
    """A report of progress that raises StoppedError after so many steps."""

    def progress(done: TrainProgress) -> None:
        if done.steps_done == steps:
            raise StoppedError

    return progress
