"""Atomic writing: a file is there whole or not at all."""

import os
import tempfile
from pathlib import Path

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
