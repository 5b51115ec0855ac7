"""The share of time that a GPU computes, as the driver's own counter has it."""

import shutil
import subprocess
import time
from collections.abc import Callable
from typing import Final

_EVERY_MS: Final = 100
_PER_SAMPLE: Final = "--query-gpu=utilization.gpu"


def busy_share(work: Callable[[], object], device: str) -> tuple[float | None, float]:
    """How busy the GPU was during a piece of work, 0..1, and the seconds that the work took.

    The share is the mean of `nvidia-smi`'s "utilization": the time in which a kernel ran. It is None on a CPU, without
    that program, and for work too short for a sample.
    """
    program = shutil.which("nvidia-smi") if device == "cuda" else None
    if program is None:
        return None, _seconds(work)
    command = [program, _PER_SAMPLE, "--format=csv,noheader,nounits", f"--loop-ms={_EVERY_MS}", *_this_gpu()]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as sampler:  # noqa: S603 - the driver's own program
        try:
            seconds = _seconds(work)
        finally:
            sampler.terminate()
        said, _ = sampler.communicate()
    samples = [float(line) for line in said.splitlines() if line.strip().isdecimal()]
    return (sum(samples) / len(samples) / 100 if samples else None), seconds


def _this_gpu() -> list[str]:
    import torch

    return [f"--id=GPU-{torch.cuda.get_device_properties(0).uuid}"] if torch.cuda.is_available() else []


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started
