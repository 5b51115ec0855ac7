"""Ways timed side by side: called in turn, compared within each round, with the processor time of all processes."""

import math
import subprocess
import sys
import time
from collections.abc import Callable

import pytest

from pipeline.bench import pairs
from pipeline.bench.pairs import Rounds, Spread, Times, ratio_words, spread, table, time_words, timed_rounds

BUSY = "sum(range(10_000_000))"


def test_ways_are_called_in_turn_after_one_untimed_call_each() -> None:
    calls: list[str] = []

    def way(name: str) -> Callable[[], str]:
        def call() -> str:
            calls.append(name)
            return name.lower()

        return call

    rounds, made = timed_rounds({"A": way("A"), "B": way("B")}, repeats=3)
    assert "".join(calls) == "AB" + "ABABAB"
    assert made == {"A": "a", "B": "b"}
    assert [len(times.seconds) for times in rounds.ways.values()] == [3, 3]


def test_a_quick_way_is_called_often_enough_for_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter(range(10**6))
    monkeypatch.setattr(pairs.time, "perf_counter", lambda: float(next(now)))  # each look takes a second
    calls = 0

    def way() -> None:
        nonlocal calls
        calls += 1

    rounds, _ = timed_rounds({"quick": way}, repeats=2, at_least_s=4)
    assert calls == 1 + 2 * 4
    assert rounds.ways["quick"].seconds == (0.25, 0.25)  # of one call


def test_ratios_are_taken_within_each_round() -> None:
    slow = Times(seconds=(2.0, 40.0, 6.0), cpu_seconds=(1.0, 1.0, 1.0))
    quick = Times(seconds=(1.0, 10.0, 3.0), cpu_seconds=(0.0, 0.5, 0.5))
    rounds = Rounds({"slow": slow, "quick": quick})
    assert rounds.ratio("slow", "quick", "seconds") == Spread(2.0, 2.0, 3.0)  # of 2, 4, 2
    assert rounds.ratio("slow", "quick", "cpu_seconds").low == 2.0
    assert math.isfinite(rounds.ratio("slow", "quick", "cpu_seconds").high)  # though a time is 0


def test_the_median_stands_between_the_quartiles_and_nothing_has_none() -> None:
    assert spread([4.0, 1.0, 2.0, 3.0, 5.0]) == Spread(3.0, 2.0, 4.0)
    assert math.isnan(spread([]).median)


@pytest.mark.parametrize("is_waited_for", [True, False])
def test_the_processor_time_of_started_processes_counts_whether_they_ended_or_not(
    is_waited_for: bool,
) -> None:
    started: list[subprocess.Popen[bytes]] = []

    def way() -> None:
        process = subprocess.Popen(
            [sys.executable, "-c", f"{BUSY}; print(flush=True); input()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        started.append(process)
        assert process.stdout is not None
        process.stdout.readline()
        if is_waited_for:
            process.communicate(b"\n")

    try:
        rounds, _ = timed_rounds({"way": way}, repeats=1)
        own = -time.process_time()
        exec(BUSY)
        own += time.process_time()
        assert rounds.ways["way"].cpu_seconds[0] > own / 4  # this process only waits
    finally:
        for process in started:
            process.communicate(b"\n") if process.poll() is None else None


def test_the_table_has_a_line_for_each_way_and_fits_a_terminal() -> None:
    times = Times(seconds=(0.75, 0.5, 0.95), cpu_seconds=(0.9876,) * 3)
    rounds = Rounds({"twenty letters long": times, "this package": times})
    lines = table(rounds, "this package", "100,000 boxes")
    assert len(lines) == 3
    assert max(map(len, lines)) <= 80
    assert "750 (625-850)" in lines[1]
    assert lines[2].endswith("1.00 (1.00-1.00)")
    slow = Rounds({**rounds.ways, "slow": Times(seconds=(1234.5,) * 3, cpu_seconds=(12.34,) * 3)})
    assert "1,234 (1,234-1,234)" in (last := table(slow, "this package")[-1])
    assert "12.3 (12.3-12.3)" in last


def test_numbers_have_as_many_digits_as_they_tell() -> None:
    assert time_words(Spread(0.0123, 0.0119, 0.1)) == "12.3 (11.9-100)"
    assert time_words(Spread(12.3, 0.5, 100.0), "s") == "12.3 (0.50-100)"
    assert ratio_words(Spread(1.254, 0.5, 809.4)) == "1.25 (0.50-809)"
    assert ratio_words(Spread(12.345, 9.999, 99.94)) == "12.3 (10.00-99.9)"
