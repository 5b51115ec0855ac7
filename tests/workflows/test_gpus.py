"""Every GPU worker has a GPU of its own, and the driver has none."""

import os
import re
import subprocess
import sys
from pathlib import Path

import block_tasks
import pytest
from cache_job import Job
from dask_processes import DaskProcesses
from places import ROOT, SUPPORT

from pipeline.errors import UserError
from workflows.cluster import gpus
from workflows.cluster.gpus import GPU, DeviceReport, check_devices, check_workers, visible_gpus
from workflows.cluster.open import open_cluster
from workflows.spread.scatter import run_blocks


def report(host: str, device: str) -> DeviceReport:
    return DeviceReport(host=host, device=device)


def test_workers_with_a_gpu_each_are_fine_and_so_are_workers_without() -> None:
    # the second host numbers its GPUs anew
    check_devices(
        {
            "a": report("one", "GPU-1"),
            "b": report("one", "GPU-2"),
            "c": report("two", "GPU-1"),
            "d": report("two", ""),
            "e": report("two", ""),
        },
        frozenset("abc"),
    )
    check_devices({})
    with pytest.raises(UserError):  # as soon as two of them are one
        check_devices({"a": report("one", "GPU-1"), "b": report("one", "GPU-1")}, frozenset("ab"))


def test_workers_that_share_a_gpu_are_named() -> None:
    reports = {name: report("one", "GPU-1") for name in ("b", "a")} | {"c": report("one", "GPU-2")}
    with pytest.raises(UserError, match=r"the workers a, b on one share the GPU GPU-1: .*CUDA_VISIBLE_DEV"):
        check_devices(reports)


def test_a_worker_that_is_said_to_have_a_gpu_and_sees_none_is_named() -> None:
    reports = {"a": report("one", "GPU-1"), "b": report("two", ""), "c": report("two", "")}
    with pytest.raises(UserError, match=r"1 workers have the resource GPU but see no GPU, b on two first"):
        check_devices(reports, frozenset({"a", "b"}))


def test_the_gpus_are_those_of_the_environment_or_else_what_nvidia_smi_lists(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2, GPU-abc")
    assert visible_gpus() == ["2", "GPU-abc"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert visible_gpus() == []
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert visible_gpus() == []
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\necho GPU-abc\necho GPU-def\n")
    program.chmod(0o755)
    assert visible_gpus() == ["GPU-abc", "GPU-def"]
    program.write_text("#!/bin/sh\nexit 9\n")
    with pytest.raises(UserError, match=r"nvidia-smi does not list .* status 9"):
        visible_gpus()


def test_the_cuda_cluster_of_a_machine_without_gpus_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with pytest.raises(UserError, match="--cluster cuda: this machine has no GPU"), open_cluster("cuda"):
        pass


def test_the_cuda_cluster_gives_each_worker_its_gpu_one_gpu_block_at_a_time_and_cpu_work_beside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-7,GPU-9")
    monkeypatch.setattr("workflows.cluster.open.check_workers", lambda client: None)  # there is no such GPU
    with open_cluster("cuda") as client:
        before = os.environ["CUDA_VISIBLE_DEVICES"]
        found = run_blocks(
            client,
            block_tasks.alone_on_its_gpu,
            str(tmp_path),
            block_tasks.blocks(20),
            lambda _: None,
            on_gpu=True,
        )
        found.check()  # a block that finds another on its GPU fails
        assert set(found.done) == {"GPU-7", "GPU-9"}
        assert before == "GPU-7,GPU-9"

        go_on = tmp_path / "go_on"
        at_work = [
            client.submit(block_tasks.waits_for, str(go_on), pure=False, resources={GPU: 1}) for _ in range(2)
        ]
        beside = run_blocks(client, block_tasks.number, str(tmp_path), block_tasks.blocks(4), lambda _: None)
        assert sorted(beside.done) == [0, 1, 2, 3]
        assert not any(future.done() for future in at_work)
        go_on.touch()
        assert client.gather(at_work) == ["GPU-7", "GPU-9"] or client.gather(at_work) == ["GPU-9", "GPU-7"]

        with pytest.raises(UserError, match=r"2 workers have the resource GPU but see no GPU"):
            check_workers(client)


def test_gpu_work_goes_to_the_workers_with_gpus_and_any_worker_does_it_where_there_are_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workflows.cluster.open.check_workers", lambda client: None)
    (tmp_path / "blocks").mkdir()
    with DaskProcesses(tmp_path) as dask:
        dask.start_scheduler()
        dask.start_worker("cpu")

        def work() -> set[str]:
            return set(
                run_blocks(
                    client,
                    block_tasks.worker_name,
                    "",
                    block_tasks.blocks(8),
                    lambda _: None,
                    on_gpu=True,
                ).done
            )

        with open_cluster(str(dask.file)) as client:
            assert work() == {"cpu"}
            dask.start_worker("gpu", "--resources", "GPU=1")
            client.wait_for_workers(2, timeout=120)
            assert work() == {"gpu"}


def test_the_driver_of_a_cache_run_never_loads_torch_and_so_never_touches_a_gpu(tmp_path: Path) -> None:
    job = Job(tmp_path)
    for number in range(4):
        job.draw(number, red=number)
    program = (
        "import sys, drive_cache; drive_cache.main(); "
        "from pipeline.cache.plan import plan_cache; from pipeline.config.sections import CacheConfig; "
        "import pipeline.dataset.index as i; "
        "from pipeline.workspace.layout import Workspace; from pathlib import Path; "
        "w = Workspace(Path(sys.argv[1])); "
        "plan_cache(w, i.update_index(w, Path(sys.argv[2]), 'images').index, 'hrnet-slim', CacheConfig()); "
        "print('torch' in sys.modules)"
    )
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{SUPPORT}"}
    environment.pop("CUDA_VISIBLE_DEVICES", None)
    said = subprocess.check_output(
        [sys.executable, "-c", program, str(job.workspace.root), str(job.photos), "local:1"],
        env=environment,
        text=True,
    )
    assert said.splitlines()[-1] == "False"
    assert job.store.counts().tolist() == [0, 1, 2, 3]


def test_a_report_of_a_machine_without_a_gpu_driver_does_not_load_torch(tmp_path: Path) -> None:
    program = (
        "import sys; from workflows.cluster import gpus; gpus._DRIVERS = (); "
        "print(gpus.report_device().device == '', 'torch' in sys.modules)"
    )
    said = subprocess.check_output([sys.executable, "-c", program], text=True)
    assert re.fullmatch(r"True False\s*", said)
    assert gpus.GPU == "GPU"
