"""The time line of a block: every call of a part on every thread, and nothing counted twice."""

import threading
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from click.testing import CliRunner

from pipeline.bench.timeline import ALL, PARTS, Span, as_table, recorded, shares
from workflows.cli.main import cli


def _outer() -> None:
    _inner()
    _inner()


def _inner() -> None:
    """Nothing."""


def _failing() -> None:
    raise KeyError


def test_calls_on_this_thread_and_on_started_ones_are_recorded() -> None:
    def work() -> None:
        _outer()
        thread = threading.Thread(target=_inner)
        thread.start()
        thread.join()

    whole, *spans = recorded(work, {f"{__name__}._outer": "out", f"{__name__}._inner": "in"})
    assert (whole.part, whole.thread, whole.start_s) == (ALL, 0, 0.0)
    assert [(span.part, span.thread) for span in spans] == [("out", 0), ("in", 0), ("in", 0), ("in", 1)]
    assert all(0 <= span.start_s <= span.stop_s <= whole.stop_s for span in spans)


def test_nothing_is_watched_any_more_when_the_work_has_failed() -> None:
    import sys

    before = sys.getprofile()
    with pytest.raises(KeyError):
        recorded(_failing, {f"{__name__}._failing": "fail"})
    assert sys.getprofile() is before is None


def test_a_part_within_another_is_taken_out_of_it() -> None:
    spans = [
        Span(ALL, 0, 0.0, 10.0),
        Span("candidates", 0, 1.0, 5.0),
        Span("forward", 0, 2.0, 4.0),
        Span("decode", 1, 0.0, 3.0),  # on another thread: within nothing
        Span("candidates", 0, 5.0, 8.0),
    ]
    assert shares(spans) == {ALL: 3.0, "candidates": 5.0, "forward": 2.0, "decode": 3.0}
    table = as_table(spans)
    assert table[0] == "one block: 10000 ms"
    assert [line.endswith("another thread") for line in table[1:]] == [False, False, False, True]


def test_every_part_of_a_block_is_found_and_drawn(tmp_path: Path) -> None:
    file = tmp_path / "block.svg"
    options = ["--images", "2", "--long-side-px", "96", "--timeline", str(file)]
    printed = CliRunner().invoke(cli, ["bench", "cache", *options], catch_exceptions=False).output
    for part in PARTS.values():  # a function that was renamed would be missing
        assert part in printed
    assert ET.fromstring(file.read_bytes()).tag.endswith("svg")
