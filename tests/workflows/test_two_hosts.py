"""Two hosts with a scheduler on a third, one network cable cut in the middle: network namespaces joined by veth."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from cache_job import Job
from dask_processes import DaskProcesses, wait_until
from fake_detector import SLOW
from places import ROOT, SUPPORT

ADDRESSES = {"a": "10.177.1", "b": "10.177.2"}


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


class Hosts:
    """The namespaces `hub`, `a` and `b`; a and b reach the hub and nothing else."""

    def __init__(self) -> None:
        self._names = {name: f"crface{os.getpid()}{name}" for name in ("hub", *ADDRESSES)}

    def start(self) -> None:
        for name in self._names.values():
            ip("netns", "add", name)
            ip("-n", name, "link", "set", "lo", "up")
        hub = self._names["hub"]
        for host, network in ADDRESSES.items():
            inside = self._names[host]
            ip(
                "-n",
                hub,
                "link",
                "add",
                f"to-{host}",
                "type",
                "veth",
                "peer",
                "name",
                "cable",
                "netns",
                inside,
            )
            ip("-n", hub, "addr", "add", f"{network}.1/24", "dev", f"to-{host}")
            ip("-n", inside, "addr", "add", f"{network}.2/24", "dev", "cable")
            ip("-n", hub, "link", "set", f"to-{host}", "up")
            ip("-n", inside, "link", "set", "cable", "up")

    def cut(self, host: str) -> None:
        ip("-n", self._names["hub"], "link", "set", f"to-{host}", "down")

    def on(self, host: str) -> tuple[str, ...]:
        """What a command begins with that runs on this host."""
        return ("ip", "netns", "exec", self._names[host])

    def end(self) -> None:
        for name in self._names.values():
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)


@pytest.fixture
def hosts() -> Iterator[Hosts]:
    if os.geteuid() or shutil.which("ip") is None:
        pytest.skip("network namespaces take root and the program `ip`")
    hosts = Hosts()
    try:
        hosts.start()
    except subprocess.CalledProcessError as error:
        hosts.end()
        pytest.skip(
            f"this machine does not let root make network namespaces: {error.stderr.decode().strip()}"
        )
    yield hosts
    hosts.end()


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_a_host_whose_cable_is_cut_costs_its_blocks_in_flight_and_the_store_is_the_undisturbed_one(
    hosts: Hosts, tmp_path: Path
) -> None:
    jobs = []
    for name in ("cut", "undisturbed"):
        (tmp_path / name).mkdir()
        job = Job(tmp_path / name)
        for number in range(40):
            job.draw(number, red=number + 1, green=SLOW)
        jobs.append(job)
    cut, undisturbed = jobs
    patience = {  # Dask's own is 30 seconds, and 5 minutes
        "DASK_DISTRIBUTED__COMM__TIMEOUTS__TCP": "12s",
        "DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL": "60s",
    }
    with DaskProcesses(tmp_path, FAKE_DETECTOR_LOG=str(cut.log), **patience) as dask:
        dask.start_scheduler("--host", "tcp://0.0.0.0", prefix=hosts.on("hub"))
        port = dask.port
        for host, network in ADDRESSES.items():
            dask.start_worker(host, address=f"tcp://{network}.1:{port}", prefix=hosts.on(host))
        program = [sys.executable, str(SUPPORT / "drive_cache.py")]
        driver = subprocess.Popen(
            [*hosts.on("hub"), *program, str(cut.workspace.root), str(cut.photos), f"tcp://127.0.0.1:{port}"],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stderr=subprocess.PIPE,
            text=True,
        )
        try:

            def both_work() -> bool:
                assert driver.poll() is None, "the driver ended before both hosts were at work"
                return len({row.worker for row in cut.ledger.read().values()}) == 2

            wait_until(both_work, "the two hosts do not both get to work")
            done_before = len(cut.ledger.read())
            hosts.cut("b")
            _, complaints = driver.communicate(timeout=240)
        finally:
            driver.kill()
    assert driver.returncode == 0, complaints
    assert 2 <= done_before < 20
    # at most the blocks that were in flight, two a worker, were computed twice
    assert 40 <= len(cut.forwarded) <= 40 + 2 * 4
    assert cut.plan().blocks == []
    undisturbed.run(block_images=2)
    assert cut.stored_files() == undisturbed.stored_files()
