"""Progress is one steady line on a terminal, plain lines elsewhere, and its numbers are right."""

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from datetime import timedelta

import pytest
from places import ROOT

from workflows.job import progress
from workflows.job.progress import Meter, show_progress


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_rate_and_time_left_are_those_of_the_last_half_minute() -> None:
    clock = Clock()
    meter = Meter(1000, "images", 0, clock)
    assert meter.words() == "0/1000 images"
    for _ in range(10):  # ten slow steps, one image a second
        clock.now += 10
        meter.count(meter.done + 10)
    assert meter.words() == "100/1000 images, 1/s, 0:15:00 left"
    for _ in range(4):  # then ten a second: after 40 s the slow ones are forgotten
        clock.now += 10
        meter.count(meter.done + 100)
    assert meter.words() == "500/1000 images, 10/s, 0:00:50 left"


def test_time_left_goes_down_between_steps_but_not_below_nothing() -> None:
    clock = Clock()
    meter = Meter(30, "images", 0, clock)
    clock.now += 10
    meter.count(10)
    assert meter.left == timedelta(seconds=20)
    clock.now += 15
    assert meter.left == timedelta(seconds=5)
    clock.now += 15
    assert meter.left == timedelta(0)


def test_what_was_done_before_counts_as_done_and_not_as_speed() -> None:
    clock = Clock()
    meter = Meter(100, "steps", 50, clock)
    clock.now += 10
    meter.count(60)
    meter.note = "loss 0.31"
    assert meter.words() == "60/100 steps, 1/s, 0:00:40 left, loss 0.31"
    assert meter.summary() == "stopped at 60 of 100 steps in 0:00:10, 1 steps/s"


def test_elsewhere_a_line_is_said_every_few_seconds_and_at_the_end(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    monkeypatch.setattr(progress.time, "monotonic", clock)
    with show_progress("cache val", 40) as shown:
        for _ in range(10):
            clock.now += 2
            shown.advance(4)
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.splitlines() == [
        "cache val: 12/40 images, 2/s, 0:00:14 left",
        "cache val: 24/40 images, 2/s, 0:00:08 left",
        "cache val: 36/40 images, 2/s, 0:00:02 left",
        "cache val: 40 images in 0:00:20, 2 images/s",
    ]


def test_a_total_that_is_learnt_on_the_way_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    with show_progress("index val", 0) as shown:
        shown.reach(1, 2)
        shown.reach(2, 2)
    assert re.fullmatch(r"index val: 2 images in 0:00:00, \d+ images/s\n", capsys.readouterr().err)


def test_an_interruption_says_how_far_it_came(capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted() -> None:
        with show_progress("cache val", 40) as shown:
            shown.advance(4)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert capsys.readouterr().err.startswith("cache val: stopped at 4 of 40 images in 0:00:00")


@pytest.mark.parametrize("no_color", [False, True])
def test_on_a_terminal_one_line_is_rewritten_within_eighty_columns(no_color: bool) -> None:
    program = (
        "import time; from workflows.job.progress import show_progress\n"
        "with show_progress('cache val of a detector with a long name', 40) as shown:\n"
        "    for i in range(40): time.sleep(0.02); shown.advance(1, 'loss 0.123, learning rate 0.001')"
    )
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    environment = {**os.environ, "TERM": "xterm", "PYTHONPATH": str(ROOT)}
    for name in ("NO_COLOR", "COLUMNS", "FORCE_COLOR"):
        environment.pop(name, None)
    if no_color:
        environment["NO_COLOR"] = "1"
    process = subprocess.Popen([sys.executable, "-c", program], stderr=theirs, env=environment)
    os.close(theirs)
    written = b""
    try:
        while piece := os.read(ours, 4096):
            written += piece
    except OSError:  # how Linux says that the other end is closed
        pass
    os.close(ours)
    assert process.wait() == 0
    text = written.decode()
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)
    lines = [line for line in re.split(r"[\r\n]+", plain) if line]
    assert any("images" in line for line in lines[:-1])
    assert all(len(line) <= 80 for line in lines)
    assert lines[-1].startswith("cache val of a detector with a long name: 40 images in 0:00:0")
    assert bool(re.search(r"\x1b\[[39]\d", text)) != no_color
