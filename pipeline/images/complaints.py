"""What image libraries write to the terminal while they decode, given to whoever asked for the image instead.

libjpeg and libpng print warnings ("Corrupt JPEG data: 419 extraneous bytes") straight to file descriptor 2, without the
name of a file, and they may be the only sign of damage. Here the descriptor leads to a file in memory while an image is
decoded. The descriptor belongs to the whole process, so that of several images that are decoded at once each may have
complained: these few are decoded again, alone. Whatever else was written meanwhile goes on to the terminal.
"""

import fcntl
import os
import re
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

Result = TypeVar("Result")

_COMPLAINT = re.compile(
    rb"Corrupt JPEG data|Premature end of JPEG|Inconsistent progression|Unknown Adobe color|Warning: unknown JFIF"
    rb"|Invalid SOS parameters|Invalid JPEG file|Unsupported (JPEG|marker)|Application transferred"
    rb"|libpng (warning|error)"
)
_MAX_BYTES = 1 << 16  # of complaints about one image
_MAX_LINES = 3


def with_complaints(decode: Callable[[], Result]) -> tuple[Result, str]:
    """What `decode` returns, and what the libraries wrote meanwhile: a few lines, empty for nothing.

    `decode` may be called twice. What it raises comes out as it is.
    """
    with _CAPTURE.beside_others() as ticket:
        result = decode()
    if ticket.complaint and not ticket.was_alone:
        with _CAPTURE.alone() as ticket:
            result = decode()
    return result, ticket.complaint


@dataclass(eq=False)
class _Ticket:
    """One image that is being decoded."""

    begin: int = 0
    """Where in the captured text its own begins."""
    was_alone: bool = True
    complaint: str = ""


class _Capture:
    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._open: set[_Ticket] = set()
        self._is_exclusive = False
        self._terminal: int | None = None
        self._file: int | None = None

    @contextmanager
    def beside_others(self) -> Iterator[_Ticket]:
        """Capture what is written while the block runs, in any thread."""
        with self._condition:
            self._condition.wait_for(lambda: not self._is_exclusive)
            ticket = self._begin()
        try:
            yield ticket
        finally:
            with self._condition:
                self._end(ticket)

    @contextmanager
    def alone(self) -> Iterator[_Ticket]:
        """The same while no other thread decodes."""
        with self._condition:
            self._condition.wait_for(lambda: not self._is_exclusive and not self._open)
            self._is_exclusive = True
            ticket = self._begin()
        try:
            yield ticket
        finally:
            with self._condition:
                self._is_exclusive = False
                self._end(ticket)

    def _begin(self) -> _Ticket:
        if not self._open:
            self._divert()
        ticket = _Ticket(self._size(), was_alone=not self._open)
        for other in self._open:
            other.was_alone = False
        self._open.add(ticket)
        return ticket

    def _end(self, ticket: _Ticket) -> None:
        lines = self._read(ticket.begin).splitlines()
        complaints = dict.fromkeys(line.strip() for line in lines if _COMPLAINT.match(line.strip()))
        ticket.complaint = "; ".join(line.decode(errors="replace") for line in list(complaints)[:_MAX_LINES])
        self._open.remove(ticket)
        if not self._open:
            self._restore()
        self._condition.notify_all()

    def _divert(self) -> None:
        try:
            self._terminal = os.dup(2)
        except OSError:
            return  # closed: nobody reads it
        if self._file is None:
            self._file = _file_in_memory()
        os.dup2(self._file, 2)

    def _restore(self) -> None:
        if self._terminal is None or self._file is None:
            return
        others = b"".join(
            line for line in self._read(0).splitlines(keepends=True) if not _COMPLAINT.match(line.strip())
        )
        os.dup2(self._terminal, 2)
        os.ftruncate(self._file, 0)
        if others:
            os.write(self._terminal, others)
        os.close(self._terminal)
        self._terminal = None

    def _size(self) -> int:
        return 0 if self._terminal is None or self._file is None else os.fstat(self._file).st_size

    def _read(self, begin: int) -> bytes:
        size = self._size()
        if size <= begin or self._file is None:
            return b""
        return os.pread(self._file, min(size - begin, _MAX_BYTES), begin)


def _file_in_memory() -> int:
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("complaints")
    else:  # macOS
        with tempfile.TemporaryFile() as file:
            descriptor = os.dup(file.fileno())
    # after the file is emptied, the next line is written at its beginning
    fcntl.fcntl(descriptor, fcntl.F_SETFL, fcntl.fcntl(descriptor, fcntl.F_GETFL) | os.O_APPEND)
    return descriptor


_CAPTURE = _Capture()
