"""Blocks on real worker processes: killed, failing, interrupted, and still everything is computed, once."""

import os
import signal
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import block_tasks
import psutil
import pytest
from cache_job import Job
from distributed import Client
from drivers import Start, start_driver, wait_for_images, workers_of
from fake_detector import KILL_ONCE, SLOW

from pipeline.cache.work import cache_block, prepare_cache
from pipeline.errors import UsageError, UserError
from workflows.cluster.open import dashboard_link, open_cluster
from workflows.spread.scatter import BLOCKS_PER_THREAD, MAX_TRIES, Outcome, run_blocks

__all__ = ["start_driver"]  # a fixture


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    flag = tmp_path_factory.mktemp("flag") / "killed"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FAKE_DETECTOR_FLAG", str(flag))
        with open_cluster("local:2") as client:
            yield client


def test_every_block_is_done_once_and_reported(client: Client, tmp_path: Path) -> None:
    reports: list[int] = []
    outcome = run_blocks(client, block_tasks.number, str(tmp_path), block_tasks.blocks(20), reports.append)
    assert sorted(outcome.done) == list(range(20))
    assert reports == outcome.done
    assert block_tasks.tries(tmp_path) == Counter(range(20))
    outcome.check()


def test_no_block_is_no_work(client: Client, tmp_path: Path) -> None:
    assert run_blocks(client, block_tasks.number, str(tmp_path), [], block_tasks.ignore) == Outcome([], [])


def test_what_is_not_to_be_kept_is_reported_and_no_more(client: Client, tmp_path: Path) -> None:
    reports: list[int] = []
    outcome = run_blocks(
        client, block_tasks.number, str(tmp_path), block_tasks.blocks(6), reports.append, is_kept=False
    )
    assert sorted(reports) == list(range(6))
    assert (outcome.done, outcome.set_aside, outcome.num_blocks) == ([], [], 6)


def test_few_blocks_are_in_flight_however_many_there_are(
    client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_flight = most = 0
    submit = client.submit

    def counted(*args: Any, **kwargs: Any) -> Any:
        nonlocal in_flight, most
        in_flight += 1
        most = max(most, in_flight)
        return submit(*args, **kwargs)

    def landed(report: int) -> None:
        nonlocal in_flight
        in_flight -= 1

    monkeypatch.setattr(client, "submit", counted)
    run_blocks(client, block_tasks.number, str(tmp_path), block_tasks.blocks(100), landed)
    assert most == BLOCKS_PER_THREAD * 2


def test_a_block_that_raises_is_set_aside_after_its_tries_and_the_others_are_done(
    client: Client, tmp_path: Path
) -> None:
    outcome = run_blocks(
        client, block_tasks.raises_on_two, str(tmp_path), block_tasks.blocks(6), block_tasks.ignore
    )
    assert sorted(outcome.done) == [0, 1, 3, 4, 5]
    assert [(block.number, why) for block, why in outcome.set_aside] == [
        (2, "ZeroDivisionError: two is not to be had")
    ]
    assert block_tasks.tries(tmp_path) == Counter({**dict.fromkeys([0, 1, 3, 4, 5], 1), 2: MAX_TRIES})
    with pytest.raises(UserError, match=r"1 of 6 blocks failed 3 times .* images 2 to 2: ZeroDivisionError"):
        outcome.check()


def test_a_block_that_kills_its_workers_is_set_aside_and_no_neighbour_with_it(
    client: Client, tmp_path: Path
) -> None:
    outcome = run_blocks(
        client,
        block_tasks.kills_its_worker_on_three,
        str(tmp_path),
        block_tasks.blocks(8),
        block_tasks.ignore,
    )
    assert sorted(outcome.done) == [0, 1, 2, 4, 5, 6, 7]
    ((block, why),) = outcome.set_aside
    assert (block.number, why) == (3, "its worker died, which often means that memory ran out")
    assert block_tasks.tries(tmp_path)[3] == MAX_TRIES


def test_what_the_user_must_mend_ends_the_run_at_once(client: Client, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="the disk is full: free some"):
        run_blocks(
            client, block_tasks.user_error_on_one, str(tmp_path), block_tasks.blocks(50), block_tasks.ignore
        )
    time.sleep(0.5)  # those dropped would go on now
    assert len(block_tasks.tries(tmp_path)) < 10


def test_a_worker_killed_in_its_block_changes_nothing_in_the_end(client: Client, tmp_path: Path) -> None:
    jobs = []
    for name in ("killed", "undisturbed"):
        (tmp_path / name).mkdir()
        job = Job(tmp_path / name)
        job.draw_many(11)
        job.draw(5, red=6, green=KILL_ONCE)
        jobs.append(job)
    killed, undisturbed = jobs
    plan = killed.plan()
    prepare_cache(plan)
    outcome = run_blocks(client, cache_block, plan.spec, plan.blocks, block_tasks.ignore)
    assert not psutil.pid_exists(int(Path(os.environ["FAKE_DETECTOR_FLAG"]).read_text()))
    outcome.check()
    assert sorted(report.block for report in outcome.done) == [0, 1, 2]
    undisturbed.run()  # in this process: the flag is there, so it lives
    assert killed.stored_files() == undisturbed.stored_files()
    assert killed.plan().blocks == []


def assert_only_the_missing_was_computed(job: Job, num_done: int) -> None:
    counts = job.store.counts().tolist()
    assert len(job.forwarded) == len(counts) - num_done
    assert counts == list(range(1, len(counts) + 1))


def make_the_rest_quick(job: Job) -> int:
    """Draw the images that are not done anew, to be quick ones; give how many are done and have to stay so."""
    done = job.ledger.read()
    num_images = len(job.store.counts())
    for number in range(num_images):
        if number // 2 not in done:
            job.draw(number, red=number + 1)
    job.log.unlink()
    assert 0 < 2 * len(done) < num_images
    return 2 * len(done)


def test_after_the_driver_is_killed_the_next_run_computes_what_is_missing(
    tmp_path: Path, start_driver: Start
) -> None:
    job = Job(tmp_path)
    job.draw_many(40, green=SLOW)
    driver = start_driver(job, "local:2")
    wait_for_images(job, 7)
    workers = workers_of(driver)
    assert len(workers) == 2
    driver.kill()
    driver.communicate()
    assert psutil.wait_procs(workers, timeout=30)[1] == []

    num_done = make_the_rest_quick(job)
    driver = start_driver(job, "local:1")
    _, complaints = driver.communicate()
    assert driver.returncode == 0, complaints
    assert_only_the_missing_was_computed(job, num_done)
    assert [path for path in job.workspace.root.rglob(".*") if path.name != ".lock"] == []

    said, _ = start_driver(job, "local:1").communicate()
    assert said == "nothing to do; Dask imported: False\n"


def test_ctrl_c_ends_everything_quietly_and_the_next_run_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, start_driver: Start
) -> None:
    job = Job(tmp_path)
    monkeypatch.setenv("FAKE_DETECTOR_LOG", str(job.log))
    job.draw_many(100, green=SLOW)
    driver = start_driver(job, "local:2")
    wait_for_images(job, 7)
    workers = workers_of(driver)
    for worker in workers:
        worker.send_signal(signal.SIGINT)
    wait_for_images(job, 11)  # it is the driver's to say what becomes of the workers
    assert psutil.wait_procs(workers, timeout=0)[0] == []
    os.killpg(driver.pid, signal.SIGINT)  # as a terminal does it: to every process of the job
    _, complaints = driver.communicate()
    assert driver.returncode == 130
    *progress, last = complaints.splitlines()
    assert last.startswith("cache: stopped at ")
    assert all(line.endswith(" left") for line in progress)  # a slow machine has some to show
    assert psutil.wait_procs(workers, timeout=5)[1] == []

    num_done = make_the_rest_quick(job)
    prepare_cache(plan := job.plan())
    for block in plan.blocks:
        cache_block(plan.spec, block)
    assert_only_the_missing_was_computed(job, num_done)


def test_workers_share_the_cores_and_the_driver_keeps_its_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    before = dict(os.environ)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        monkeypatch.setattr("workflows.cluster.local._DASHBOARD_PORT", taken.getsockname()[1])
        with open_cluster("local", num_blocks=1) as client:
            from dask.system import CPU_COUNT

            cores = str(CPU_COUNT)
            (found,) = run_blocks(
                client, block_tasks.environment, "", block_tasks.blocks(1), block_tasks.ignore
            ).done
            assert found == {
                "OMP_NUM_THREADS": cores,
                "CUDA_VISIBLE_DEVICES": "",
                "OPENCV_FOR_THREADS_NUM": cores,
            }
            assert len(client.nthreads()) == 1
            assert (dashboard_link(client) or "http://127.0.0.1:").startswith("http://127.0.0.1:")
    assert dict(os.environ) == before


def test_a_running_cluster_is_joined_and_left_running(client: Client, tmp_path: Path) -> None:
    file = tmp_path / "scheduler.json"
    client.write_scheduler_file(str(file))
    for address in (client.scheduler.address, str(file)):
        with open_cluster(address) as joined:
            assert run_blocks(
                joined, block_tasks.number, str(tmp_path), block_tasks.blocks(1), block_tasks.ignore
            ).done == [0]
    assert len(client.nthreads()) == 2


def test_a_cluster_that_goes_away_is_a_sentence(tmp_path: Path) -> None:
    with open_cluster("local:1") as own, open_cluster(own.scheduler.address) as joined:

        def leave() -> None:
            while not list(tmp_path.iterdir()):
                time.sleep(0.02)
            own.cluster.close()

        thread = threading.Thread(target=leave)
        thread.start()
        with pytest.raises(UserError, match=r"the cluster is gone.*finished blocks are kept"):
            run_blocks(joined, block_tasks.sleeps, str(tmp_path), block_tasks.blocks(4), block_tasks.ignore)
        thread.join()


@pytest.mark.parametrize("address", ["lokal", "local:0", "local:many", "/no/such/file.json", ""])
def test_an_address_that_is_none_is_a_usage_error(address: str) -> None:
    with pytest.raises(UsageError, match="local:"), open_cluster(address):
        pass


def test_no_scheduler_at_an_address_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workflows.cluster.open._WAIT_S", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    found = f"no Dask scheduler answers at tcp://127.0.0.1:{port}"
    with pytest.raises(UserError, match=found), open_cluster(f"tcp://127.0.0.1:{port}"):
        pass
