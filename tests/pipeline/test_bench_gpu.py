"""`crface bench gpu` runs to its end without a GPU, and reads how busy one is from the driver's own program."""

import json
import os
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from crface import ranker
from detectors.networks.by_name import NETWORKS
from pipeline.bench import gpu_busy
from pipeline.bench.gpu import PAPER_MS, SHIPPED
from pipeline.bench.gpu_busy import busy_share
from pipeline.bench.gpu_limit import network_flops, product_flops
from workflows.cli.main import cli, main


def test_all_parts_are_measured_on_a_cpu_with_tiny_sizes(tmp_path: Path) -> None:
    file = tmp_path / "gpu.json"
    sizes = ["--images", "2", "--image-side-px", "96", "--large-side-px", "128", "--candidates", "16"]
    options = [*sizes, "--detector", SHIPPED[0], "--repeats", "1", "--json", str(file)]
    result = CliRunner().invoke(cli, ["bench", "gpu", *options], catch_exceptions=False)
    found = json.loads(file.read_text())
    assert [(one["protocol"], one["images"]) for one in found["cached"]] == [("single", 2), ("long-128", 1)]
    assert {one["precision"] for one in found["large"]} >= {"float32", "bfloat16"}
    assert all(one["flops"] > 0 and one["limit_seconds"] > 0 for one in found["large"])
    assert [one["ranker"] for one in found["ranked"]] == [name for name in ranker.names() for _ in range(2)]
    assert {one["paper_ms"] for one in found["ranked"]} == {None, *PAPER_MS["large"], *PAPER_MS["small"]}
    assert all(one["seconds"]["median"] > 0 for part in ("large", "ranked") for one in found[part])
    assert max(map(len, result.output.splitlines())) <= 80


def test_the_operations_of_a_network_are_counted_and_grow_with_the_area() -> None:
    convolution = torch.nn.Conv2d(3, 8, 3, padding=1, bias=False)
    assert network_flops(convolution, 4, 6) == 2 * 3 * 8 * 9 * 4 * 6  # type: ignore[arg-type]
    network = NETWORKS[SHIPPED[0]]()
    assert network_flops(network, 256, 128) == pytest.approx(4 * network_flops(network, 128, 64), rel=1e-6)
    assert next(network.parameters()).device.type == "cpu"  # it is still what it was


def test_the_rate_of_products_leaves_torchs_settings_as_they_were() -> None:
    before = torch.backends.cuda.matmul.allow_tf32
    assert product_flops("cpu", torch.float32, 1) > 1e6
    assert torch.backends.cuda.matmul.allow_tf32 is before


def test_the_busy_share_is_the_mean_of_what_the_driver_says_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ready = tmp_path / "ready"
    program = tmp_path / "nvidia-smi"
    program.write_text(f"#!/bin/sh\necho 90; echo '[N/A]'; echo 100; touch '{ready}'; exec sleep 60\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")

    def work() -> None:
        while not ready.exists():
            pass

    share, seconds = busy_share(work, "cuda")
    assert share == pytest.approx(0.95)
    assert 0 < seconds < 60


def test_without_a_gpu_or_its_driver_there_is_no_share(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[int] = []
    assert busy_share(lambda: done.append(1), "cpu")[0] is None
    monkeypatch.setattr(gpu_busy.shutil, "which", lambda name: None)
    assert busy_share(lambda: done.append(2), "cuda")[0] is None
    assert done == [1, 2]


@pytest.mark.parametrize("name", ["cache", "store", "gpu"])
def test_a_detector_that_cannot_be_measured_is_a_usage_error(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for detector in ["no-such-detector", *(["fake_detector:ENTRY"] if name == "gpu" else [])]:
        with pytest.raises(SystemExit) as ended:
            main(["bench", name, "--detector", detector])
        assert ended.value.code == 2
        assert detector in capsys.readouterr().err
