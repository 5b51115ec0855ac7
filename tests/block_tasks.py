"""Block functions for tests of the runner; workers import them from here."""

import os
import signal
import time
from pathlib import Path

from pipeline.blocks import Block, Cause
from pipeline.errors import UserError


def blocks(num: int) -> list[Block]:
    return [Block(n, n, n + 1, range(n, n + 1), ((Cause.NEW, 1),)) for n in range(num)]


def number(folder: str, block: Block) -> int:
    """Leave a trace of the try in `folder` and give the block's number."""
    (Path(folder) / f"{block.number}-{time.time_ns()}").touch()
    return block.number


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
