"""A stage's progress: a bar with rate and time left on a terminal, elsewhere a line every few seconds."""

from __future__ import annotations

import os
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta

_LINE_EVERY_S = 5.0
_LONG_S = 1.0
_RATE_WINDOW_S = 30.0


class Meter:
    """Count, rate and time left, computed from a clock that is passed in."""

    def __init__(self, total: int, unit: str, done: int, clock: Callable[[], float]):
        self.total = total
        self.unit = unit
        self.done = done
        self.note = ""
        self._clock = clock
        self._first = (clock(), done)
        self._samples = deque([self._first])

    def count(self, done: int) -> None:
        """Record that `done` units are done by now."""
        now = self._clock()
        self.done = done
        self._samples.append((now, done))
        # the window starts at the last sample before it, so that one slow step always lies in it whole
        while len(self._samples) > 2 and self._samples[1][0] <= now - _RATE_WINDOW_S:
            self._samples.popleft()

    @property
    def rate(self) -> float:
        """Recent units per second; 0 before anything is done."""
        (start_s, before), (end_s, after) = self._samples[0], self._samples[-1]
        return (after - before) / (end_s - start_s) if end_s > start_s else 0.0

    @property
    def left(self) -> timedelta | None:
        """Time left at the recent rate, in whole seconds; None before anything is done."""
        if not self.rate:
            return None
        seconds = (self.total - self.done) / self.rate - (self._clock() - self._samples[-1][0])
        return timedelta(seconds=max(0, round(seconds)))

    def words(self) -> str:
        """Count, rate, time left and note: `96/240 images, 12.3/s, 0:00:12 left, loss 0.31`."""
        parts = [f"{self.done}/{self.total} {self.unit}"]
        if (left := self.left) is not None:
            parts += [f"{_rounded(self.rate)}/s", f"{left} left"]
        return ", ".join([*parts, self.note] if self.note else parts)

    def summary(self) -> str:
        """Count, time and mean rate since the start: `240 images in 0:00:20, 12.0 images/s`."""
        seconds = self._clock() - self._first[0]
        done = self.done - self._first[1]
        mean = f", {_rounded(done / seconds)} {self.unit}/s" if done and seconds else ""
        of_total = f"{self.done}" if self.done >= self.total else f"stopped at {self.done} of {self.total}"
        return f"{of_total} {self.unit} in {timedelta(seconds=round(seconds))}{mean}"


class Progress:
    """The progress of one stage, which reports to it; made by `show_progress`."""

    def __init__(self, meter: Meter, show: Callable[[], None]):
        self._meter = meter
        self._show = show

    def advance(self, count: int = 1, note: str = "") -> None:
        """Add `count` units to those done; `note` (such as a loss) replaces the last one."""
        self.reach(self._meter.done + count, note=note)

    def reach(self, done: int, total: int | None = None, note: str = "") -> None:
        """Set the number of units done, and the total if it was not known before."""
        if total is not None:
            self._meter.total = total
        self._meter.note = note
        self._meter.count(done)
        self._show()


@contextmanager
def show_progress(what: str, total: int, unit: str = "images", done: int = 0) -> Iterator[Progress]:
    """Show the progress of `what` on standard error, and finally how long it took.

    `done` of `total` units were done before. A terminal gets a one-line bar, coloured unless NO_COLOR is set;
    anything else gets plain lines.
    """
    meter = Meter(total, unit, done, time.monotonic)
    is_terminal = sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
    with (_bar if is_terminal else _lines)(what, meter) as show:
        yield Progress(meter, show)


@contextmanager
def shown_if_long(what: str, unit: str = "images") -> Iterator[Callable[[int, int], None]]:
    """A callback (done, total) that shows progress, but only once the work has taken longer than a second."""
    with ExitStack() as stack:
        shown: list[Progress] = []
        started = time.monotonic()

        def show(done: int, total: int) -> None:
            if not shown and time.monotonic() - started > _LONG_S and done < total:
                shown.append(stack.enter_context(show_progress(what, total, unit, done)))
            for progress in shown:
                progress.reach(done, total)

        yield show


@contextmanager
def _lines(what: str, meter: Meter) -> Iterator[Callable[[], None]]:
    said_at = time.monotonic()

    def show() -> None:
        nonlocal said_at
        if time.monotonic() - said_at >= _LINE_EVERY_S and meter.done < meter.total:
            said_at = time.monotonic()
            _say(f"{what}: {meter.words()}")

    try:
        yield show
    finally:
        _say(f"{what}: {meter.summary()}")


@contextmanager
def _bar(what: str, meter: Meter) -> Iterator[Callable[[], None]]:
    from workflows.job.bar import one_line_bar  # with rich, which no pipe waits for

    with one_line_bar(meter.words) as bar:
        task = bar.add_task(what, total=meter.total, completed=meter.done)
        try:
            yield lambda: bar.update(task, completed=meter.done, total=meter.total)
        finally:
            bar.stop()
            _say(f"{what}: {meter.summary()}")


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _rounded(rate: float) -> str:
    return f"{rate:.0f}" if rate >= 100 else f"{rate:.3g}"
