"""A worker that is told to go finishes and commits its block, and the run goes on without it."""

import signal
from collections import Counter
from pathlib import Path

import block_tasks
import psutil
import pytest
from cache_job import Job
from dask_processes import LEAVING, DaskProcesses, wait_until
from fake_detector import SLOW

from pipeline.cache.work import cache_block, prepare_cache
from workflows.cluster.open import open_cluster
from workflows.spread.scatter import run_blocks

pytestmark = pytest.mark.timeout(900)  # of a busy machine


def test_a_worker_told_to_go_finishes_its_block_and_exits_with_0_and_nothing_is_done_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = []
    for name in ("told", "undisturbed"):
        (tmp_path / name).mkdir()
        job = Job(tmp_path / name)
        for image in range(32):
            job.draw(image, red=image + 1, green=SLOW)
        jobs.append(job)
    told, undisturbed = jobs
    plan = told.plan()
    prepare_cache(plan)
    with DaskProcesses(tmp_path, FAKE_DETECTOR_LOG=str(told.log)) as dask:
        dask.start_scheduler()
        leaver = dask.start_worker("leaver", *LEAVING)
        dask.start_worker("stayer", *LEAVING)
        with open_cluster(str(dask.file)) as client:
            client.wait_for_workers(2, timeout=120)
            is_sent = False

            def after_two(_: object) -> None:
                nonlocal is_sent
                if not is_sent and len(told.ledger.read()) >= 2:
                    leaver.send_signal(signal.SIGUSR1)  # to the nanny alone, as a batch system may
                    is_sent = True

            outcome = run_blocks(client, cache_block, plan.spec, plan.blocks, after_two)
            assert is_sent
            assert leaver.wait(timeout=120) == 0, dask.said("leaver")
            assert len(client.nthreads()) == 1
    assert sorted(report.block for report in outcome.done) == list(range(8))
    assert Counter(told.forwarded) == Counter(range(1, 33))  # no image twice
    assert len({row.worker for row in told.ledger.read().values()}) == 2  # what the leaver did was kept
    monkeypatch.setenv("FAKE_DETECTOR_LOG", "")
    undisturbed.run()
    assert told.stored_files() == undisturbed.stored_files()


def test_both_processes_may_be_signalled_more_than_once(tmp_path: Path) -> None:
    # at the walltime Slurm signals every process of a job
    (tmp_path / "tries").mkdir()
    with DaskProcesses(tmp_path) as dask:
        dask.start_scheduler()
        leaver = dask.start_worker("leaver", *LEAVING)
        with open_cluster(str(dask.file)) as client:
            tree = [
                psutil.Process(leaver.pid),
                *(
                    child
                    for child in psutil.Process(leaver.pid).children(recursive=True)
                    if "spawn_main" in " ".join(child.cmdline())
                ),
            ]
            assert len(tree) == 2

            future = client.submit(block_tasks.takes_a_second, str(tmp_path / "tries"), pure=False)
            wait_until(lambda: any((tmp_path / "tries").iterdir()), "the task does not begin")
            for process in tree * 2:
                process.send_signal(signal.SIGTERM)
            assert future.result(timeout=120) == "done"
            future.release()  # or else the worker waits half a minute until somebody has fetched it
            assert leaver.wait(timeout=120) == 0, dask.said("leaver")
    assert len(list((tmp_path / "tries").iterdir())) == 1
