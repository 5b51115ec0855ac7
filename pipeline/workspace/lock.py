"""The lock of a workspace: one writing command at a time; a second one is told who holds it."""

import contextlib
import fcntl
import json
import os
import shlex
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from pipeline.errors import UserError
from pipeline.workspace.place import Place, UrlPath


@contextlib.contextmanager
def held(path: Place, what: str) -> Iterator[None]:
    """Hold the lock at `path` for the command `what`.

    Raises UserError when another process holds the lock, or it cannot be written.
    """
    holder = {
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "command": what,
        "since": time.strftime("%Y-%m-%d %H:%M:%S"),
    }
    words = json.dumps(holder).encode()
    with _folder_held(path, words) if isinstance(path, Path) else _url_held(path, words):
        yield


@contextlib.contextmanager
def _folder_held(path: Path, holder: bytes) -> Iterator[None]:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a+b")
    except OSError as error:
        raise UserError(
            f"cannot write to the workspace {path.parent}: {error.strerror}; choose another with --out"
        ) from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise UserError(
                f"the workspace {path.parent} is in use by {_holder(file.read())}; "
                "wait for it or choose another with --out"
            ) from None
        file.truncate(0)
        file.write(holder)
        file.flush()
        yield


@contextlib.contextmanager
def _url_held(path: UrlPath, holder: bytes) -> Iterator[None]:
    try:
        path.create(holder)
    except FileExistsError:
        try:
            words = _holder(path.read_bytes())
        except OSError:
            words = "another process"
        raise UserError(
            f"the workspace {path.parent} is in use by {words}; wait for it or choose another with --out. "
            f"If that process is gone (one that is killed cannot clean up here), delete {path}"
        ) from None
    except OSError as error:
        raise UserError(
            f"cannot write to the workspace {path.parent}: {error.strerror}; choose another with --out"
        ) from error
    try:
        yield
    finally:
        with contextlib.suppress(OSError):  # the next command says what to do about it
            path.unlink()


def _holder(text: bytes) -> str:
    try:
        holder = json.loads(text)
        return f"`{holder['command']}` (process {holder['pid']} on {holder['host']}, since {holder['since']})"
    except (ValueError, KeyError):
        return "another process"


def command_line() -> str:
    """The command being run, as the lock and the records name it."""
    return shlex.join(["crface", *sys.argv[1:]])
