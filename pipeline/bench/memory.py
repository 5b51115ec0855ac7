"""The additional memory that pieces of work take at their peak, each in a process that has done nothing before."""

import os
import re
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any


def peak_bytes(
    prepare: Callable[..., Callable[[], object]], arguments: Sequence[tuple[Any, ...]]
) -> list[int | None]:
    """Peaks of the additional memory of the first calls of what `prepare(*one)` gives; None except on Linux.

    Each is prepared and called in a process of its own: one that has done the work before keeps some of the memory for
    the next time. These are copies of a process that has only imported what `prepare` needs, so nothing that they call
    may use threads of a library.
    """
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return pool.submit(_each, prepare, arguments).result()


def megabytes(count: int | None) -> str:
    """Bytes as whole megabytes; a dash for None."""
    return "-" if count is None else f"{count / 1e6:,.0f}"


def _each(
    prepare: Callable[..., Callable[[], object]], arguments: Sequence[tuple[Any, ...]]
) -> list[int | None]:
    return [_in_a_copy(prepare, one) for one in arguments]


def _in_a_copy(prepare: Callable[..., Callable[[], object]], arguments: tuple[Any, ...]) -> int | None:
    read, write = os.pipe()
    if (child := os.fork()) == 0:
        try:
            os.write(write, str(_measured(prepare(*arguments))).encode())
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(read) as answer:
        found = answer.read()
    os.waitpid(child, 0)
    if not found:
        raise RuntimeError(f"the work {arguments} failed while its memory was measured")
    return None if found == "None" else int(found)


def _measured(work: Callable[[], object]) -> int | None:
    status = Path("/proc/self/status")
    try:
        Path("/proc/self/clear_refs").write_text("5")  # the peak so far, of imports, is forgotten
        before = _kilobytes(status.read_text(), "VmRSS")
        work()
        return 1024 * max(0, _kilobytes(status.read_text(), "VmHWM") - before)
    except OSError:
        return None


def _kilobytes(status: str, name: str) -> int:
    found = re.search(rf"^{name}:\s*(\d+) kB$", status, re.MULTILINE)
    assert found is not None
    return int(found[1])
