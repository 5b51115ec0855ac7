"""A worker whose GPU is lost is replaced, and fails no other block."""

import sys
from collections import Counter
from pathlib import Path

import block_tasks
import pytest

from workflows.cluster.open import open_cluster
from workflows.spread.scatter import MAX_TRIES, run_blocks
from workflows.worker.lost_gpu import is_gpu_lost


@pytest.mark.parametrize("num_workers", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_worker_whose_gpu_is_lost_is_replaced_and_fails_no_other_block(
    tmp_path: Path, num_workers: int
) -> None:
    with open_cluster(f"local:{num_workers}") as client:
        outcome = run_blocks(
            client, block_tasks.loses_its_gpu_on_three, str(tmp_path), block_tasks.blocks(12), lambda _: None
        )
    ((block, why),) = outcome.set_aside
    assert (block.number, why) == (3, "RuntimeError: CUDA error: an illegal memory access was encountered")
    tries = Counter(int(path.name.split("-")[0]) for path in tmp_path.iterdir())
    assert tries == {**dict.fromkeys(range(12), 1), 3: MAX_TRIES}


def test_a_process_without_a_gpu_has_none_to_lose(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not is_gpu_lost()
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    assert not is_gpu_lost()
