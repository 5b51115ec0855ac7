"""A table is the same text on a terminal and in a pipe; a terminal adds colours, unless it is asked not to."""

import os
import pty
import re
import subprocess
import sys

import pytest
from places import ROOT

TABLE = """          faces  gain
first (weights abc)
  easy       12  +2.0 (+1.0 .. +3.0) *
  hard       12  -2.0 (-3.0 .. -1.0) *
  medium     12  +1.0 (-1.0 .. +3.0)
[no markup], only text"""

PROGRAM = f"from workflows.job.shown import show_table; show_table({TABLE!r})"


def on_terminal(**environment: str) -> str:
    """What a terminal gets."""
    ours, theirs = pty.openpty()
    variables = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "FORCE_COLOR")}
    subprocess.run(
        [sys.executable, "-c", PROGRAM],
        cwd=ROOT,
        env={**variables, "TERM": "xterm", "COLUMNS": "20", **environment},
        stdout=theirs,
        check=True,
        timeout=60,
    )
    os.close(theirs)
    shown = b""
    while True:
        try:
            part = os.read(ours, 4096)
        except OSError:  # the terminal's end
            part = b""
        if not part:
            os.close(ours)
            return shown.decode().replace("\r\n", "\n").removesuffix("\n")
        shown += part


def test_a_terminal_gets_the_same_text_with_real_gains_and_losses_in_colour() -> None:
    shown = on_terminal()
    assert "\x1b[32m+2.0 (+1.0 .. +3.0) *\x1b[0m" in shown
    assert "\x1b[31m-2.0 (-3.0 .. -1.0) *\x1b[0m" in shown
    assert "\x1b[1m          faces  gain\x1b[0m" in shown
    assert re.sub(r"\x1b\[[\d;]*m", "", shown) == TABLE  # not wrapped either, though the terminal is narrow


@pytest.mark.parametrize("environment", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_no_colour_is_shown_where_none_is_wanted(environment: dict[str, str]) -> None:
    assert not re.search(r"\x1b\[3\dm", on_terminal(**environment))


def test_a_pipe_gets_the_text_alone() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    )
    assert ended.stdout == TABLE + "\n"
