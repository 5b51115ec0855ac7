"""Standard streams that are there for the whole of a command, whatever the shell made of them.

A command's work is not lost because nobody reads what it says: where a stream is closed (`>&-`), its reader has gone
(`| head -1`) or its disk is full, what is written to it is dropped and the work goes on.
"""

import errno
import io
import os
import select
import sys
from typing import Any


class Stream(io.FileIO):
    """A file descriptor that takes everything; what cannot be written is dropped, and the first error kept."""

    error: OSError | None = None
    """Why something was dropped; None if nothing was, or if its reader no longer wanted it."""

    def write(self, data: Any, /) -> int:
        """The number of bytes taken: all of them."""
        left = memoryview(data).cast("B")
        size = len(left)
        try:
            while left:
                written = super().write(left)
                if written is None:  # another program made the terminal non-blocking, and it is full
                    select.select([], [self], [])
                else:
                    left = left[written:]
        except OSError as error:
            if self.error is None and error.errno != errno.EPIPE:
                self.error = error
        return size


def make_safe() -> Stream:
    """Replace the standard streams by ones that cannot fail; standard output's raw stream.

    A descriptor that is closed is opened on the null device first: otherwise the next file that is opened would get
    its number, and what a library or a child process prints would end up in that file.
    """
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest number that is free: this one
    if sys.stdin is None:
        sys.stdin = open(0, closefd=False)  # noqa: SIM115 - a descriptor, open as long as the process
    out = Stream(1, "wb", closefd=False)
    # a descriptor of its own: 2 itself is turned elsewhere while an image is decoded (`pipeline.images.complaints`)
    err = Stream(os.dup(2), "wb")
    sys.stdout = _text(out, sys.stdout, line_buffering=out.isatty())
    sys.stderr = _text(err, sys.stderr, line_buffering=True)
    return out


def _text(raw: Stream, replaced: Any, *, line_buffering: bool) -> io.TextIOWrapper:
    encoding = replaced.encoding if replaced is not None else "utf-8"
    return io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding,
        # the bytes of a file name that is no UTF-8 go out as they are
        "surrogateescape" if encoding.lower().replace("-", "") == "utf8" else "backslashreplace",
        line_buffering=line_buffering,
        write_through=replaced is not None and replaced.write_through,
    )
