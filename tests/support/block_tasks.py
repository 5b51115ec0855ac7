"""Block functions for tests of the runner; workers import them from here."""

import os
import signal
import sys
import time
import types
from collections import Counter
from pathlib import Path

from pipeline.blocks.plan import Block, Cause
from pipeline.errors import UserError
from workflows.worker import lost_gpu


def blocks(num: int) -> list[Block]:
    return [Block(n, n, n + 1, range(n, n + 1), ((Cause.NEW, 1),)) for n in range(num)]


def number(folder: str, block: Block) -> int:
    """Leave a trace of the try in `folder` and give the block's number."""
    (Path(folder) / f"{block.number}-{time.time_ns()}").touch()
    return block.number


def tries(folder: Path) -> Counter[int]:
    """How often each block was tried, by the traces in `folder`."""
    return Counter(int(path.name.split("-")[0]) for path in folder.iterdir())


def ignore(report: object) -> None:
    """Take a block's report and do nothing with it."""


def kills_its_worker_on_three(folder: str, block: Block) -> int:
    number(folder, block)
    if block.number == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(0.05)
    return block.number


def raises_on_two(folder: str, block: Block) -> int:
    number(folder, block)
    if block.number == 2:
        raise ZeroDivisionError("two is not to be had")
    return block.number


def user_error_on_one(folder: str, block: Block) -> int:
    number(folder, block)
    if block.number == 1:
        raise UserError("the disk is full: free some")
    time.sleep(0.2)
    return block.number


def sleeps(folder: str, block: Block) -> int:
    number(folder, block)
    time.sleep(60)
    return block.number


def environment(folder: str, block: Block) -> dict[str, str | None]:
    names = ("OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES", "OPENCV_FOR_THREADS_NUM")
    return {name: os.environ.get(name) for name in names}


def takes_a_second(folder: str) -> str:
    (Path(folder) / f"{time.time_ns()}").touch()
    time.sleep(1)
    return "done"


def alone_on_its_gpu(folder: str, block: Block) -> str:
    """Fail if another block is at work on this GPU; give the GPU."""
    gpu = os.environ["CUDA_VISIBLE_DEVICES"]
    sign = Path(folder) / f"busy-{gpu}"
    sign.touch(exist_ok=False)
    time.sleep(0.05)
    sign.unlink()
    return gpu


def waits_for(file: str) -> str:
    while not Path(file).exists():
        time.sleep(0.02)
    return os.environ["CUDA_VISIBLE_DEVICES"]


def worker_name(nothing: str, block: Block) -> str:
    from distributed import get_worker

    time.sleep(0.05)
    return str(get_worker().name)


def loses_its_gpu_on_three(folder: str, block: Block) -> int:
    """Fail, and every block after it in this process."""
    number(folder, block)
    if block.number == 3:
        _lose_the_gpu()
    time.sleep(0.05)
    if lost_gpu.is_gpu_lost():
        raise RuntimeError("CUDA error: an illegal memory access was encountered")
    return os.getpid()


def _lose_the_gpu() -> None:
    """Make torch answer as it does on such a GPU."""

    def synchronize() -> None:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    torch = types.ModuleType("torch")
    torch.cuda = types.SimpleNamespace(  # type: ignore[attr-defined]
        is_initialized=lambda: True, synchronize=synchronize
    )
    sys.modules["torch"] = torch


LEAK_BYTES = 150 * 2**20
_leaked: list[bytearray] = []


def leaks(folder: str, block: Block) -> tuple[int, float]:
    """Keep some memory for ever; give the process and the time."""
    number(folder, block)
    _leaked.append(bytearray(b"x") * LEAK_BYTES)
    time.sleep(1.5)  # longer than from one look at the memory to the next
    return os.getpid(), time.time()


def takes_all_memory_on_one(folder: str, block: Block) -> int:
    number(folder, block)
    taken = []
    while block.number == 1:
        taken.append(bytearray(os.urandom(1 << 20) * 16))
        time.sleep(0.01)
    return block.number
