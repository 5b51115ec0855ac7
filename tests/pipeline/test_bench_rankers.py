"""`crface bench rankers`: every ranker is there, and what is said follows from what was measured."""

import dataclasses
import json

import pytest
import torch
from click.testing import CliRunner

from crface import ranker
from pipeline.bench.rankers import RankerCost, RankersBench, as_lines
from workflows.cli.main import cli


def test_every_ranker_is_measured_beside_the_small_one_on_one_thread() -> None:
    threads = torch.get_num_threads()
    options = ["--image-side-px", "64", "--candidates", "16", "--rounds", "1", "--json"]
    found = json.loads(CliRunner().invoke(cli, ["bench", "rankers", *options]).output)
    assert (found["width"], found["height"], found["num_candidates"], found["num_above"]) == (64, 48, 16, 1)
    costs = {cost["name"]: cost for cost in found["costs"]}
    assert list(costs) == ranker.names()
    assert costs["small"]["times_small"] == 1.0
    for name, cost in costs.items():
        assert cost["times_small"] == pytest.approx(cost["median_ms"] / costs["small"]["median_ms"])
        assert cost["median_all_ms"] > 0
        assert cost["peak_bytes"] is None or cost["peak_bytes"] > 0
        assert cost["file_bytes"] == pytest.approx(4 * cost["parameters"], rel=0.1), name
    # the second opinion's detector does not change
    assert costs["second-opinion"]["trained"] < costs["second-opinion"]["parameters"]
    assert torch.get_num_threads() == threads


def test_the_table_fits_a_terminal() -> None:
    cost = RankerCost(
        name="second-opinion", parameters=32_363_992, trained=32_363_992, file_bytes=129_700_000,
        median_ms=12345.6, times_small=23.456, median_all_ms=23456.7, peak_bytes=1_234_567_890,
    )  # fmt: skip
    elsewhere = dataclasses.replace(cost, peak_bytes=None)
    bench = RankersBench(
        width=1024, height=768, num_candidates=5000, num_above=300, rounds=5, costs=(cost, elsewhere)
    )
    lines = as_lines(bench)
    assert max(map(len, lines)) <= 80
    words = ["second-opinion", "32,363,992", "32,363,992", "129.7", "12,346", "23.46", "23,457"]
    assert [line.split() for line in lines[-2:]] == [[*words, "1,235"], [*words, "-"]]
