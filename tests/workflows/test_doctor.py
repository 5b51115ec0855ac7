"""The doctor says what is wrong with a machine before a job finds out, and what to do."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from wider_folder import Picture, write_data_set

from pipeline.errors import UserError
from workflows.cli.main import cli
from workflows.doctor import Check, checks, is_healthy, probes
from workflows.doctor.checks import DataSet, Gpu, Machine, Package

GIB = 2**30
MACHINE = Machine(
    python="3.11.9",
    system="Linux x86_64",
    num_cores=2,
    memory_bytes=8 * GIB,
    available_bytes=6 * GIB,
    shm_bytes=GIB,
    workspace=Path("/runs/demo"),
    is_writable=True,
    free_bytes=10 * GIB,
)


def package(name: str, installed: str | None, is_in_range: bool) -> Package:
    return Package(name=name, installed=installed, wanted=">=2", is_in_range=is_in_range)


def graphics(names: tuple[str, ...], built: bool, device: bool) -> Gpu:
    return Gpu(torch="2.6", names=names, is_built_for_cuda=built, has_nvidia_device=device)


CASES: list[tuple[Check, str, str]] = [
    (checks.processor(MACHINE), "ok", "2 cores"),
    (checks.memory(MACHINE), "ok", "enough for 4 workers"),  # of 1.5 GiB each
    (checks.memory(replace(MACHINE, available_bytes=GIB)), "warn", "1.0 GiB of 8.0 GiB"),
    (checks.memory(replace(MACHINE, available_bytes=GIB, memory_bytes=GIB)), "fail", "1.0 GiB"),
    (checks.gpu(graphics((), built=False, device=False)), "ok", "none"),
    (checks.gpu(graphics(("H100 (80 GiB)",), built=True, device=True)), "ok", "H100"),
    (checks.gpu(graphics((), built=False, device=True)), "warn", "built for CPUs"),
    (checks.gpu(graphics((), built=True, device=True)), "warn", "driver"),
    (checks.codecs({".jpg": "", ".webp": ""}), "ok", ".jpg, .webp"),
    (checks.codecs({".jpg": "", ".webp": "no encoder"}), "fail", ".webp: no encoder"),
    (checks.shared_memory(MACHINE), "ok", "1,024 MiB"),
    (checks.shared_memory(replace(MACHINE, shm_bytes=None)), "ok", "no /dev/shm"),
    (checks.shared_memory(replace(MACHINE, shm_bytes=64 * 2**20)), "warn", "64 MiB"),
    (checks.workspace(MACHINE, 0, 1), "ok", "10.0 GiB free"),
    # 100,000 images of 120,000 bytes are 11.2 GiB
    (checks.workspace(MACHINE, 100_000, 1), "fail", "11.7 GiB may be needed"),
    (checks.workspace(MACHINE, 40_000, 1), "ok", "at most 5.0 GiB"),
    (checks.workspace(MACHINE, 40_000, 3), "fail", "13.9 GiB may be needed"),
    (checks.workspace(replace(MACHINE, is_writable=False), 0, 1), "fail", "cannot be written"),
    (
        checks.packages([package("torch", "2.6", True), package("x", "2", True)]),
        "ok",
        "2 as wanted: torch 2.6",
    ),
    (checks.packages([package("zarr", "1.0", False)]), "fail", "zarr 1.0 (wanted: >=2)"),
    (checks.packages([package("zarr", None, False)]), "fail", "zarr is not installed"),
    (checks.data_set(DataSet(folder=Path("d"), splits=("val: 3 images",))), "ok", "val: 3 images"),
    (checks.data_set(DataSet(folder=Path("d"), problems=("x.jpg: cut",))), "fail", "x.jpg: cut"),
]


@pytest.mark.parametrize(("check", "status", "words"), CASES, ids=[f"{c.name} {s} {w}" for c, s, w in CASES])
def test_facts_are_judged_with_a_next_step_for_whatever_is_not_fine(
    check: Check, status: str, words: str
) -> None:
    assert check.status == status
    assert words in check.found
    assert (check.advice == "") == (status == "ok")
    assert is_healthy([check]) == (status != "fail")


class Fails:
    """Raises at every image."""

    version = 1

    def __init__(self, weights: Path | None, device: str) -> None:
        self.name = "fails"

    def candidates(self, images: Sequence[np.ndarray]) -> list[np.ndarray]:
        raise RuntimeError("out of paper")


class Shares(Fails):
    """Gives its boxes in shares of the image's size."""

    def candidates(self, images: Sequence[np.ndarray]) -> list[np.ndarray]:
        return [np.array([[0.2, 0.25, 0.47, 0.75, 0.9]], np.float32) for _ in images]


def doctor(*arguments: str | Path) -> tuple[BaseException | None, dict[str, Check], bool]:
    ended = CliRunner().invoke(cli, ["doctor", "--json", *map(str, arguments)])
    answer = json.loads(ended.stdout)
    exception = ended.exception if ended.exit_code else None
    return exception, {check["name"]: Check(**check) for check in answer["checks"]}, answer["ok"]


def test_a_machine_that_runs_these_tests_is_healthy(tmp_path: Path) -> None:
    data = write_data_set(tmp_path / "data", [Picture("e", "a", faces=[(1, 2, 3, 4)]), Picture("e", "b")])
    exception, found, is_ok = doctor("--data", data, "--out", tmp_path / "w")
    assert exception is None, found
    assert is_ok
    assert "val: 2 images, labelled" in found["data"].found
    assert "20 candidates stored" in found["detector retinaface-mobilenet0.25"].found
    assert not (tmp_path / "w").exists()  # it only looks


def test_broken_detectors_and_data_are_each_named_with_the_next_step(tmp_path: Path) -> None:
    data = write_data_set(tmp_path / "data", [Picture("e", "a"), Picture("e", "b")])
    image = data / "WIDER_val" / "images" / "e" / "b.jpg"
    image.write_bytes(image.read_bytes()[:100])
    module = __name__
    bad = [f"{module}:Fails", f"{module}:Shares", "nobody", "imported:far"]
    exception, found, is_ok = doctor("--data", data, "--out", tmp_path / "w", "--detector", " ".join(bad))
    assert isinstance(exception, UserError)
    assert not is_ok
    assert {name for name, check in found.items() if check.status == "fail"} == {
        "data",
        *(f"detector {spec}" for spec in bad),
    }
    assert "b.jpg" in found["data"].found
    assert "crface dataset validate" in found["data"].advice
    assert "RuntimeError: out of paper" in found[f"detector {bad[0]}"].found
    assert "none of them on a face" in found[f"detector {bad[1]}"].found
    assert "no detector nobody" in found["detector nobody"].found
    assert "import-candidates" in found["detector imported:far"].advice


def test_lines_fit_into_80_columns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.chdir(tmp_path)
    ended = CliRunner().invoke(cli, ["doctor", "--out", "w", "--detector", "nobody"])
    lines = ended.stdout.splitlines()
    folder = {
        word
        for line in lines
        for word in line.split()
        if word.strip(";") in f"{tmp_path}/w" and len(word) > 40
    }
    assert [line for line in lines if len(line) > 80 and not set(line.split()) & folder] == []
    assert lines[-1].lstrip().startswith("-> `crface detectors`")


def test_every_format_of_a_data_set_can_be_read_here() -> None:
    assert set(probes.codecs().values()) == {""}
