"""A worker whose GPU no longer answers makes room for a fresh one, before it fails every block that it is given.

After some errors (an illegal memory access, a failed assertion in a kernel) CUDA refuses all that a process asks of it
from then on. Such a worker fails at once, so it would soon have had each block of the run, three times.
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
    """Do a block in a worker's thread; if it fails and the GPU is lost with it, the worker is replaced.

    Raises what `function` raises.
    """
    try:
        return function(spec, block)
    except Exception:
        if is_gpu_lost():
            _leave()
        raise


def is_gpu_lost() -> bool:
    """Tell whether this process uses a GPU, and can no longer."""
    torch = sys.modules.get("torch")  # a block that did not load it has used no GPU
    if torch is None or not torch.cuda.is_initialized():
        return False
    try:
        torch.cuda.synchronize()
    except RuntimeError:
        return True
    return False


def _leave() -> None:
    """Have this worker begin no other block, and end once the one in hand has been answered for."""
    from distributed import get_worker

    worker = get_worker()
    is_told = threading.Event()

    def leave() -> None:
        leave_soon(worker, is_replaced=True)
        is_told.set()

    worker.loop.add_callback(leave)
    is_told.wait()
