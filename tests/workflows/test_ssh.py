"""Workers that are started through SSH: a real SSH server on this machine, known by two names."""

import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import block_tasks
import psutil
import pytest
from dask_processes import wait_until
from places import ROOT, SUPPORT
from tls_clients import check_that_others_are_turned_away

from pipeline.errors import UserError
from workflows.cluster.open import open_cluster
from workflows.cluster.tls import tls_required
from workflows.spread.scatter import run_blocks

pytest.importorskip(
    "asyncssh", reason="asyncssh is not installed: pip install 'crface[ssh]'", exc_type=ImportError
)


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[psutil.Process]:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    # which the server's shells inherit
    monkeypatch.setenv("PYTHONPATH", f"{ROOT}{os.pathsep}{SUPPORT}")
    process = subprocess.Popen(
        [sys.executable, str(SUPPORT / "ssh_server.py"), str(tmp_path)], start_new_session=True
    )
    wait_until((tmp_path / ".ssh" / "config").exists, "the SSH server does not start")
    yield psutil.Process(process.pid)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def cluster_file(folder: Path, *lines: str) -> str:
    file = folder / "hosts.toml"
    file.write_text("\n".join(['kind = "ssh"', 'host = "127.0.0.1"', *lines]))
    return str(file)


def test_hosts_work_and_their_workers_end_with_the_run(server: psutil.Process, tmp_path: Path) -> None:
    file = cluster_file(tmp_path, 'hosts = ["one", "two"]', f'python = "{shlex.quote(sys.executable)}"')
    with open_cluster(file) as client:
        done = run_blocks(client, block_tasks.worker_name, "", block_tasks.blocks(12), lambda _: None)
        assert set(done.done) == {"one-0", "two-0"}
        settings = client.run(lambda: __import__("dask").config.get("distributed.worker.memory.pause"))
        assert set(settings.values()) == {False}  # theirs is the configuration of every other cluster
        # Dask's own value makes detectors half as slow again
        assert set(client.run(os.getenv, "MALLOC_TRIM_THRESHOLD_").values()) == {None}
    wait_until(lambda: not server.children(), "the workers outlive the run")


def test_with_tls_hosts_work_and_who_has_no_certificate_is_turned_away(
    server: psutil.Process, tmp_path: Path
) -> None:
    pytest.importorskip("cryptography", reason="making certificates needs the package cryptography")
    file = cluster_file(tmp_path, 'hosts = ["one"]', f'python = "{shlex.quote(sys.executable)}"')
    with tls_required(tmp_path / "tls"), open_cluster(file) as client:
        done = run_blocks(client, block_tasks.worker_name, "", block_tasks.blocks(4), lambda _: None)
        assert set(done.done) == {"one-0"}
        check_that_others_are_turned_away(client, tmp_path / "tls", tmp_path / "theirs")


def test_with_tls_a_host_without_the_certificate_is_a_sentence(
    server: psutil.Process, tmp_path: Path
) -> None:
    pytest.importorskip("cryptography", reason="making certificates needs the package cryptography")
    python = tmp_path / "python"  # of a host that has not got the folder
    python.write_text(f'#!/bin/sh\nrm -r "{tmp_path}/tls"\nexec {shlex.quote(sys.executable)} "$@"\n')
    python.chmod(0o755)
    file = cluster_file(tmp_path, 'hosts = ["one"]', f'python = "{shlex.quote(str(python))}"')
    with (
        tls_required(tmp_path / "tls"),
        pytest.raises(UserError, match=r"a worker did not start on one of one: .*certificate"),
        open_cluster(file),
    ):
        pass


def test_a_host_that_does_not_answer_is_a_sentence(server: psutil.Process, tmp_path: Path) -> None:
    file = cluster_file(tmp_path, 'hosts = ["nowhere"]')
    with (
        pytest.raises(UserError, match=r"cannot start workers by SSH: .*`ssh HOST` must work"),
        open_cluster(file),
    ):
        pass


def test_a_host_without_this_python_is_a_sentence(server: psutil.Process, tmp_path: Path) -> None:
    file = cluster_file(tmp_path, 'hosts = ["one"]', 'python = "/nowhere/python"')
    complaint = r"a worker did not start on one of one: .*need this Python"
    with pytest.raises(UserError, match=complaint), open_cluster(file):
        pass
