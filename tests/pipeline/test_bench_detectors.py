"""`crface bench detectors`: all ways give the same outputs, and the table says what was measured."""

import json
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from pipeline.bench.detectors import OWN, PLAIN, bench_detectors
from pipeline.errors import UsageError
from workflows.cli.main import cli


def test_every_way_gives_the_same_outputs_and_has_its_line(tmp_path: Path) -> None:
    threads = torch.get_num_threads()
    file = tmp_path / "detectors.json"
    options = ["--size", "64", "48", "--size", "33", "40", "--repeats", "2", "--json", str(file)]
    result = CliRunner().invoke(cli, ["bench", "detectors", *options], catch_exceptions=False)
    found = json.loads(file.read_text())["detectors"]
    assert [(bench["width"], bench["height"]) for bench in found] == [(64, 48), (33, 40)]
    for bench in found:
        assert {OWN, PLAIN} <= set(bench["ways"])
        assert bench["difference"] < 1e-4
        assert all(len(times["cpu_seconds"]) == 2 for times in bench["ways"].values())
    lines = result.output.splitlines()
    assert max(map(len, lines)) <= 80
    assert sum(line.startswith(OWN) for line in lines) == 2
    assert torch.get_num_threads() == threads


def test_a_detector_that_is_no_network_is_refused_in_words() -> None:
    with pytest.raises(UsageError, match="there is no detector nobody"):
        bench_detectors(["nobody"], [(8, 8)], 1, 1)
