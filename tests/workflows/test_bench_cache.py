"""`crface bench cache`: all ways give the same candidates, and each has its line."""

import json
from pathlib import Path

import pytest

from pipeline.bench.cache import BARE, BLOCKS, COMMAND, SCRIPT, WORKERS, CacheBench, as_lines, differing
from pipeline.bench.pairs import Rounds, Times
from workflows.cli.main import main


def test_every_way_is_measured_and_gives_the_same_candidates(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "cache.json"
    options = ["--images", "3", "--long-side-px", "96", "--repeats", "1", "--json", str(file)]
    with pytest.raises(SystemExit) as ended:
        main(["bench", "cache", *options])
    assert ended.value.code == 0
    found = json.loads(file.read_text())
    assert list(found["ways"]) == [BARE, BLOCKS, WORKERS, COMMAND, SCRIPT]
    assert found["different"] == []
    for times in found["ways"].values():
        assert len(times["seconds"]) == 1
        assert times["seconds"][0] > 0
        assert times["cpu_seconds"][0] > 0  # of the processes that do the work
    assert "images whose candidates differ from the bare loop's: 0" in capsys.readouterr().out


def test_what_differs_or_lacks_is_named() -> None:
    assert differing({"a": "1", "b": "2", "c": "3"}, {"a": "1", "b": "0", "d": "4"}) == ["b", "c", "d"]


def test_the_table_fits_a_terminal_and_compares_images_a_second() -> None:
    bare, slow = Times(seconds=(2.0,), cpu_seconds=(1.0,)), Times(seconds=(2500.0,), cpu_seconds=(4.0,))
    rounds = Rounds({BARE: bare, COMMAND: slow, WORKERS: Times(seconds=(2.5,), cpu_seconds=(1.25,))})
    bench = CacheBench(
        detector="retinaface-mobilenet0.25", num_images=100_000, long_side_px=640, num_workers=2,
        num_threads=1, rounds=rounds, different=(),
    )  # fmt: skip
    lines = as_lines(bench)
    assert max(map(len, lines)) <= 80
    (line,) = (line for line in lines if line.startswith(WORKERS))
    assert line.split()[-6:] == ["40000.0", "0.80", "(0.80-0.80)", "0.0", "0.80", "(0.80-0.80)"]
