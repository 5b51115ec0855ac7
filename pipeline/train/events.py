"""TensorBoard events of a training."""

from collections.abc import Mapping
from pathlib import Path

from pipeline.errors import UserError
from pipeline.workspace.place import Place

EVENT_EVERY = 10
"""Steps between two events."""


class Events:
    """TensorBoard events in a folder, from `steps_done` on: those of later steps, of an earlier run, are struck out.

    None are written below a URL: TensorBoard appends to its file, which an object store cannot do.

    Raises UserError when the folder cannot be made.
    """

    def __init__(self, folder: Place, steps_done: int) -> None:
        self._writer = None
        if not isinstance(folder, Path):
            return
        # imported here: TensorBoard takes a second that no other stage should pay
        from torch.utils.tensorboard import SummaryWriter

        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"cannot write to {folder}: {error.strerror}; choose another folder") from error
        self._writer = SummaryWriter(str(folder), purge_step=steps_done + 1 if steps_done else None)

    def __enter__(self) -> "Events":
        return self

    def __exit__(self, *_: object) -> None:
        if self._writer is not None:
            self._writer.close()

    def add(self, step: int, values: Mapping[str, float]) -> None:
        """Write the values of a step."""
        if self._writer is not None:
            for name, value in values.items():
                self._writer.add_scalar(name, value, step)

    def flush(self) -> None:
        """Bring everything written so far to the disk."""
        if self._writer is not None:
            self._writer.flush()
