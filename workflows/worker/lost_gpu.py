"""Replacing a worker whose GPU no longer responds, before it fails every block that it is given.

After some errors (an illegal memory access, a failed assertion in a kernel), CUDA refuses everything that the process
asks of it. Such a worker fails each block at once, and would soon have failed every block of the run three times.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from workflows.worker.leaving import leave_soon

if TYPE_CHECKING:
    from pipeline.blocks.plan import Block

Spec = TypeVar("Spec")
Report = TypeVar("Report")


def carried_out(function: Callable[[Spec, Block], Report], spec: Spec, block: Block) -> Report:
    """The result of a block, computed in a worker's thread; if it fails and the GPU is lost, the worker is replaced.

    Raises what `function` raises.
    """
    try:
        return function(spec, block)
    except Exception:
        if is_gpu_lost():
            _leave()
        raise


def is_gpu_lost() -> bool:
    """Whether this process has used a GPU that no longer responds."""
    torch = sys.modules.get("torch")  # a process that has not loaded torch has used no GPU
    if torch is None or not torch.cuda.is_initialized():
        return False
    try:
        torch.cuda.synchronize()
    except RuntimeError:
        return True
    return False


def _leave() -> None:
    """Make this worker begin no other block, and end once its current one is reported."""
    from distributed import get_worker

    worker = get_worker()
    is_told = threading.Event()

    def leave() -> None:
        leave_soon(worker, is_replaced=True)
        is_told.set()

    worker.loop.add_callback(leave)
    is_told.wait()
