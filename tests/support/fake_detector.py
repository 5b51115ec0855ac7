"""Detectors without a network for tests of the cache stage; workers import them by `fake_detector:NAME`.

Their answer is a function of the image's first pixel alone: red is the number of candidates, green and blue ask for
trouble. Every image that one is asked about adds a line to the file FAKE_DETECTOR_LOG, if that is set.
"""

import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from detectors import DetectorEntry

KILL_ONCE, KILL_ALWAYS, RAISE, SLOW, UNSORTED = 1, 2, 3, 4, 5
"""Values of green."""


def expected(red: int, blue: int = 0) -> np.ndarray:
    """Give the candidates of an image with such a first pixel."""
    order = np.arange(red, dtype=np.float32)
    return np.stack([order, order + blue, order + 10, order + 20, 1 / (order + 2)], axis=1)


class FakeDetector:
    name = "fake"

    def candidates(self, images: Sequence[np.ndarray]) -> list[np.ndarray]:
        return [self._one(*image[0, 0].tolist()) for image in images]

    def _one(self, red: int, green: int, blue: int) -> np.ndarray:
        log = os.environ.get("FAKE_DETECTOR_LOG")
        if log:
            with Path(log).open("a") as file:
                file.write(f"{red} {green} {blue}\n")
        if green == KILL_ALWAYS or (green == KILL_ONCE and _is_first_time()):
            os.kill(os.getpid(), signal.SIGKILL)
        if green == RAISE:
            raise RuntimeError("this image makes the detector fail")
        if green == SLOW:
            time.sleep(0.2)
        found = expected(red, blue)
        return found[::-1] if green == UNSORTED else found


class LimitedDetector(FakeDetector):
    """Has room for as many images at a time as FAKE_DETECTOR_ROOM says; notes how many it is asked for."""

    def candidates(self, images: Sequence[np.ndarray]) -> list[np.ndarray]:
        with Path(os.environ["FAKE_DETECTOR_LOG"]).open("a") as file:
            file.write(f"{len(images)} images\n")
        if len(images) > int(os.environ["FAKE_DETECTOR_ROOM"]):
            import torch  # only here: a driver that plans is not to load it

            raise torch.OutOfMemoryError("CUDA out of memory (so says the test)")
        return [expected(int(image[0, 0, 0])) for image in images]


def _is_first_time() -> bool:
    try:
        with Path(os.environ["FAKE_DETECTOR_FLAG"]).open("x") as flag:
            flag.write(str(os.getpid()))
    except FileExistsError:
        return False
    return True


ENTRY = DetectorEntry(description="for tests", version=1, create=lambda weights, device: FakeDetector())
LIMITED = DetectorEntry(description="for tests", version=1, create=lambda weights, device: LimitedDetector())
NEWER = DetectorEntry(description="for tests", version=2, create=lambda weights, device: FakeDetector())
RENAMED = DetectorEntry(
    description="for tests",
    version=1,
    create=lambda weights, device: FakeDetector(),
    identity=lambda weights: {"weights": "none", "detector": "renamed"},
)
