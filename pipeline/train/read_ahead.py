"""Batches made ahead of the training step by threads, from images that stay in memory while there is room."""

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import cv2

_BATCHES_AHEAD = 3

Key = TypeVar("Key")
Value = TypeVar("Value")
Made = TypeVar("Made")


@contextmanager
def no_helping_threads() -> Iterator[None]:
    """Keep OpenCV, in the whole process, to the thread that calls it for the length of a `with` block.

    There are already as many threads making examples as there are cores for them: the helpers that OpenCV keeps
    waiting on every core would take turns with them.
    """
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before)


def made_ahead(
    batches: Iterable[Sequence[Callable[[], Made]]], num_threads: int
) -> Generator[list[Made], None, None]:
    """The results of every batch of calls, in order, a few batches made ahead by `num_threads` threads.

    Closing the generator drops what was made ahead.
    """
    ahead: deque[list[Future[Made]]] = deque()
    with no_helping_threads():
        pool = ThreadPoolExecutor(num_threads, thread_name_prefix="examples")
        try:
            for batch in batches:
                ahead.append([pool.submit(make) for make in batch])
                if len(ahead) > _BATCHES_AHEAD:
                    yield [future.result() for future in ahead.popleft()]
            while ahead:
                yield [future.result() for future in ahead.popleft()]
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


class Room:
    """Memory for what was read, filled first come, first served; safe to use from several threads."""

    def __init__(self, num_bytes: int) -> None:
        self._bytes_left = num_bytes
        self._lock = threading.Lock()

    def keep(self, kept: dict[Key, Value], key: Key, value: Value, num_bytes: int) -> None:
        """Add a value to what is kept, unless it is there already or there is no room left for it."""
        with self._lock:
            if key not in kept and num_bytes <= self._bytes_left:
                kept[key] = value
                self._bytes_left -= num_bytes
