"""Several ways of doing one thing, timed side by side in one run: `A B A B`, compared within each round.

Machines are shared, so a time says little and a ratio within a round says much; processor time stands beside the
clock's. Every benchmark of docs/benchmarks.md that compares ways uses this module.
"""

import math
import resource
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeVar

import numpy as np
import psutil

from pipeline.results.text import aligned, milliseconds

REPEATS: Final = 5
"""The default number of rounds; fewer tell nothing of the spread."""

Clock = Literal["seconds", "cpu_seconds"]
Unit = Literal["ms", "s"]
Made = TypeVar("Made")


@dataclass(frozen=True, slots=True)
class Spread:
    """The median of some values, and the quartiles around it."""

    median: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """What one call of one way took, round by round."""

    seconds: tuple[float, ...]
    """By the clock."""
    cpu_seconds: tuple[float, ...]
    """Of this process and of all processes that it started."""


@dataclass(frozen=True, slots=True)
class Rounds:
    """The times of every way, by its name."""

    ways: Mapping[str, Times]

    def spread(self, way: str, clock: Clock) -> Spread:
        """How long a call of one way takes."""
        return spread(getattr(self.ways[way], clock))

    def ratio(self, way: str, to: str, clock: Clock) -> Spread:
        """How many times as long a call takes as another way's in the same round."""
        pairs = zip(getattr(self.ways[way], clock), getattr(self.ways[to], clock), strict=True)
        return spread([one / max(other, 1e-9) for one, other in pairs])

    def as_json(self) -> dict[str, Any]:
        """Every time of every way as JSON values."""
        return {
            name: {"seconds": list(times.seconds), "cpu_seconds": list(times.cpu_seconds)}
            for name, times in self.ways.items()
        }


def timed_rounds(
    ways: Mapping[str, Callable[[], Made]], repeats: int, at_least_s: float = 0.0
) -> tuple[Rounds, dict[str, Made]]:
    """The times of all ways in `repeats` rounds, one after the other in each, and what each way gives.

    Every way is called once before, untimed, which is also where the results come from. One that is so quick that the
    clock would not tell is called as often in a round as `at_least_s` takes; its times are those of one call.
    """
    made: dict[str, Made] = {}
    calls: dict[str, int] = {}
    for name, way in ways.items():
        started = time.perf_counter()
        made[name] = way()
        calls[name] = max(1, math.ceil(at_least_s / max(time.perf_counter() - started, 1e-6)))
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for _ in range(repeats):
        for name, way in ways.items():
            found[name].append(taken(way, calls[name]))
    return Rounds(
        {
            name: Times(
                seconds=tuple(seconds for seconds, _ in rounds),
                cpu_seconds=tuple(cpu_seconds for _, cpu_seconds in rounds),
            )
            for name, rounds in found.items()
        }
    ), made


def spread(values: Sequence[float]) -> Spread:
    """The median and the quartiles of some values; NaN for none."""
    if not values:
        return Spread(math.nan, math.nan, math.nan)
    low, median, high = np.quantile(values, [0.25, 0.5, 0.75])
    return Spread(float(median), float(low), float(high))


def time_words(times: Spread, unit: Unit = "ms") -> str:
    """Seconds with their quartiles in a unit: `12.3 (11.9-13.0)`."""
    factor = 1000 if unit == "ms" else 1
    median, low, high = (milliseconds(factor * value) for value in (times.median, times.low, times.high))
    return f"{median} ({low}-{high})"


def ratio_words(ratio: Spread) -> str:
    """A ratio with its quartiles: `1.25 (1.21-1.30)`, of large ones only three digits."""
    median, low, high = (_three_digits(value) for value in (ratio.median, ratio.low, ratio.high))
    return f"{median} ({low}-{high})"


def table(rounds: Rounds, reference: str, title: str = "") -> list[str]:
    """A line for each way: what a call takes by the clock and of the processor, and the latter by the reference's.

    All are seconds if one of them takes a second, otherwise milliseconds. It fits 80 columns if names have 20 letters.
    """
    unit: Unit = "s" if any(rounds.spread(way, "seconds").median >= 1 for way in rounds.ways) else "ms"
    rows = [
        (
            name,
            time_words(rounds.spread(name, "seconds"), unit),
            time_words(rounds.spread(name, "cpu_seconds"), unit),
            ratio_words(rounds.ratio(name, reference, "cpu_seconds")),
        )
        for name in rounds.ways
    ]
    return aligned([(title, unit, f"CPU {unit}", "x CPU"), *rows])


def taken(way: Callable[[], object], calls: int = 1) -> tuple[float, float]:
    """Seconds by the clock, and of this process and all that it started, that one of several calls takes."""
    others = (
        cpu_seconds_of_others()
    )  # looking through all processes takes milliseconds, so outside of the rest
    started, cpu_started = time.perf_counter(), time.process_time()
    for _ in range(calls):
        way()
    seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - cpu_started
    return seconds / calls, (cpu_seconds + max(0.0, cpu_seconds_of_others() - others)) / calls


def cpu_seconds_of_others() -> float:
    """The processor time of all processes that this one started and of theirs, ended or not."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return ended.ru_utime + ended.ru_stime + sum(map(_cpu_seconds, psutil.Process().children(recursive=True)))


def _cpu_seconds(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.Error:  # it ended just now
        return 0.0
    ended = getattr(times, "children_user", 0.0) + getattr(times, "children_system", 0.0)  # only on Linux
    return float(times.user + times.system + ended)


def _three_digits(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"
