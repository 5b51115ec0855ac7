"""Atomic writing: a file is there whole or not at all."""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from pipeline.errors import UserError
from pipeline.workspace.place import Place, UrlPath


def write_atomically(path: Place, data: bytes) -> None:
    """Write a file so that readers, and the next run, see either all of it or what was there before."""
    if isinstance(path, UrlPath):
        path.write(data)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:80]}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        # mkstemp makes private files; a shared workspace needs the mode that open() would have set
        umask = os.umask(0)
        os.umask(umask)
        Path(name).chmod(0o666 & ~umask)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def refuse_to_replace(path: Path, what: str, is_such: Callable[[Path], bool]) -> None:
    """Let a command write to a path that its user names, unless another kind of file is there.

    `is_such` tells whether the file is what the command writes, `what` says so in words; an empty file may always be
    replaced.

    Raises UserError that names the file when it is something else.
    """
    if not os.path.lexists(path):
        return
    try:
        is_replaceable = path.is_file() and (path.stat().st_size == 0 or is_such(path))
    except (OSError, ValueError):
        is_replaceable = False
    if not is_replaceable:
        raise UserError(f"{path} is there already and is no {what}: it is not replaced; choose another file")
