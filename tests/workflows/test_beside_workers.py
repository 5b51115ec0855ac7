"""A training beside the workers of a cluster is a fresh process, which sees the GPUs as its host counts them."""

import os

import pytest
from thread_cluster import open_thread_cluster

from workflows.worker import beside as launching

SAY = "import os; print(os.getpid(), os.environ['CUDA_VISIBLE_DEVICES'], os.environ['LOCAL_RANK'])"


@pytest.mark.parametrize("turned", ["GPU-7,GPU-8,GPU-9", "GPU-8,GPU-9,GPU-7", "GPU-9,GPU-7,GPU-8"])
def test_however_a_workers_gpus_are_turned_a_training_sees_them_in_the_hosts_order(
    turned: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # dask-cuda shows each worker its own GPU first
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", turned)
    monkeypatch.setattr(launching, "_COMMAND", SAY)
    with open_thread_cluster() as client:
        launching.run_beside_workers(client, [])
    pid, devices, local_rank = capsys.readouterr().out.split()
    assert (devices, local_rank) == ("GPU-7,GPU-8,GPU-9", "0")
    assert int(pid) != os.getpid()
