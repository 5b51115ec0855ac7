"""What is fuzzed: a reader of foreign bytes, samples of what it reads, and what must hold of each answer."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import UserError


def put(path: Path, data: bytes) -> Path:
    """Write a file; in place of one that was there, which some file systems do not do without waiting for the disk."""
    path.parent.mkdir(exist_ok=True)
    path.unlink(missing_ok=True)
    path.write_bytes(data)
    return path


@dataclass(frozen=True, kw_only=True)
class Target:
    name: str
    samples: Callable[[], Sequence[bytes]]
    """Good files, to be damaged."""
    check: Callable[[bytes, Path], None]
    """Reads the bytes (the folder is for those that have to lie in a file); asserts that what is read is right."""
    refusals: tuple[type[Exception], ...] = (UserError,)
    """What the reader's docstring says that it raises; anything else is a finding."""
    num_inputs: int
    """In the test suite."""

    def accepts(self, data: bytes, folder: Path) -> bool:
        """Tell whether the reader took the bytes; a refusal must be a sentence."""
        words = ""
        try:
            self.check(data, folder)
        except self.refusals as refusal:
            words = str(refusal) or "nothing"
        assert words != "nothing", "a refusal without a word"
        return not words
