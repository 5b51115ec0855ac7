"""The manifests of docs/kubernetes: whole, and with command lines that do what they are there for.

No Kubernetes is at hand; what it would start is started as processes, and told to go as it would tell them.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import block_tasks
import click
import dask
import psutil
import pytest
import yaml
from dask.utils import parse_bytes
from dask_processes import wait_until
from distributed.cli import dask_scheduler, dask_worker
from places import ROOT, SUPPORT

from workflows.cli.main import cli
from workflows.cluster import dask_config
from workflows.cluster.open import open_cluster
from workflows.cluster.tls import AUTHORITY, CERTIFICATE, KEY, tls_required
from workflows.spread.scatter import run_blocks
from workflows.worker import leaving

FOLDER = ROOT / "docs" / "kubernetes"


def manifests() -> dict[tuple[str, str], Any]:
    texts = [(FOLDER / file).read_text() for file in ("cluster.yaml", "cache.yaml")]
    parts = [part for text in texts for part in yaml.safe_load_all(text)]
    return {(part["kind"], part["metadata"]["name"]): part for part in parts}


PARTS = manifests()
PODS = {
    name: part["spec"]["template"] for (kind, name), part in PARTS.items() if kind in ("Deployment", "Job")
}
SETTINGS: dict[str, str] = PARTS["ConfigMap", "crface-dask"]["data"]


def container(name: str) -> Any:
    (only,) = PODS[name]["spec"]["containers"]
    return only


def test_all_parts_fit_together() -> None:
    assert set(PARTS) == {
        ("ConfigMap", "crface-dask"),
        ("Service", "crface-scheduler"),
        ("Deployment", "crface-scheduler"),
        ("Deployment", "crface-worker"),
        ("Job", "crface-cache"),
    }
    for (kind, name), part in PARTS.items():
        if kind == "Deployment":
            assert part["spec"]["selector"]["matchLabels"] == PODS[name]["metadata"]["labels"]
    service = PARTS["Service", "crface-scheduler"]["spec"]
    assert service["selector"] == PODS["crface-scheduler"]["metadata"]["labels"]
    (port,) = (entry["port"] for entry in service["ports"])
    scheduler = container("crface-scheduler")["args"]
    assert scheduler[scheduler.index("--port") + 1] == str(port)
    for name in ("crface-worker", "crface-cache"):
        assert f"tls://crface-scheduler:{port}" in container(name)["args"]
    for name, pod in PODS.items():
        volumes = {volume["name"] for volume in pod["spec"]["volumes"]}
        assert {mount["name"] for mount in container(name)["volumeMounts"]} == volumes
        assert {"configMapRef": {"name": "crface-dask"}} in container(name)["envFrom"]
        assert container(name)["image"] == "registry.example.org/crface:0.1.0"
    assert container("crface-worker")["volumeMounts"] == container("crface-cache")["volumeMounts"]


def test_a_worker_has_a_gpu_memory_to_spare_and_time_for_its_block() -> None:
    worker = container("crface-worker")
    assert worker["resources"]["limits"]["nvidia.com/gpu"] == 1
    limit = worker["args"][worker["args"].index("--memory-limit") + 1]
    assert parse_bytes(limit) < parse_bytes(worker["resources"]["limits"]["memory"] + "B")
    assert PODS["crface-worker"]["spec"]["terminationGracePeriodSeconds"] >= 300  # Kubernetes' own is 30
    assert leaving._FETCH_S < 60  # which the page adds to the longest block


def test_the_settings_are_those_of_every_other_cluster_and_of_tls(tmp_path: Path) -> None:
    with tls_required(tmp_path):
        told = {key: value for key, value in os.environ.items() if key.startswith("DASK_DISTRIBUTED__COMM__")}
    theirs = {key: value for key, value in SETTINGS.items() if key.startswith("DASK_DISTRIBUTED__COMM__")}
    assert theirs == {key: value.replace(str(tmp_path), "/tls") for key, value in told.items()}
    others = dask.config.collect_env({key: value for key, value in SETTINGS.items() if key not in theirs})
    assert others
    for key, value in dask_config.DASK_SETTINGS.items():
        if (given := dask.config.get(key, None, config=others)) is not None:
            assert given == value
    names = {key.removeprefix("DASK_").lower().replace("__", ".") for key in SETTINGS if key not in theirs}
    assert names <= {key.replace("-", "_") for key in dask_config.DASK_SETTINGS}


@pytest.mark.parametrize(
    ("name", "command"), [("crface-scheduler", dask_scheduler.main), ("crface-worker", dask_worker.main)]
)
def test_dask_has_every_option(name: str, command: Any) -> None:
    known = {
        option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)
    }
    assert {word for word in container(name)["args"] if word.startswith("-")} <= known


def test_crface_has_every_option() -> None:
    program, command, *arguments = container("crface-cache")["args"]
    assert program == "crface"
    found = cli.get_command(click.Context(cli), command)
    assert found is not None
    context = found.make_context(command, list(arguments))
    assert context.params["cluster"] == "tls://crface-scheduler:8786"


def test_the_image_holds_all_packages_that_there_are() -> None:
    copied = {
        line.split()[1]
        for line in (FOLDER / "Dockerfile").read_text().splitlines()
        if line.startswith("COPY ")
    }
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")}
    assert "workflows" in packages <= copied


@contextmanager
def as_in_a_pod(name: str, folder: Path, port: int, **variables: str) -> Iterator[subprocess.Popen[bytes]]:
    """Start a manifest's command on this machine; where that is allowed it is process 1, as in a container."""
    prefix = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"] if first_processes() else []
    words = [word.replace("crface-scheduler:8786", f"127.0.0.1:{port}") for word in container(name)["args"]]
    words = [str(port) if word == "8786" else word.replace("$(POD)", "crface-worker-x1") for word in words]
    words = [word.replace("127.0.0.1:8787", "127.0.0.1:0") for word in words]
    words = [str(folder) if word == "/tmp" else word for word in words]
    assert words[0] == "dask"
    with (folder / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(
            [*prefix, sys.executable, "-m", *words],
            env={**os.environ, "PYTHONPATH": f"{ROOT}:{SUPPORT}", **own_variables(name), **variables},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def own_variables(name: str) -> dict[str, str]:
    return {entry["name"]: entry["value"] for entry in container(name).get("env", ()) if "value" in entry}


def first_processes() -> bool:
    if os.geteuid() or not shutil.which("unshare"):
        return False
    return not subprocess.run(
        ["unshare", "--pid", "--fork", "--mount-proc", "true"], capture_output=True
    ).returncode


def tell_to_go(process: subprocess.Popen[bytes]) -> None:
    """Send SIGTERM to a container's first process alone, as Kubernetes does."""
    inner = psutil.Process(process.pid)
    (inner.children()[0] if inner.name() == "unshare" else inner).send_signal(signal.SIGTERM)


@pytest.fixture
def settings(tmp_path: Path) -> Iterator[None]:
    """The manifest's settings in this process's environment, which all inherit, with certificates."""
    pytest.importorskip("cryptography", reason="making certificates needs the package cryptography")
    made = subprocess.run([sys.executable, "-m", "workflows.cluster.tls", tmp_path / "tls"], cwd=ROOT)
    assert made.returncode == 0
    assert {path.name for path in (tmp_path / "tls").iterdir()} == {AUTHORITY, CERTIFICATE, KEY}
    with pytest.MonkeyPatch.context() as patch:
        for key, value in SETTINGS.items():
            patch.setenv(key, value.replace("/tls/", f"{tmp_path}/tls/"))
        dask.config.refresh()
        yield
    dask.config.refresh()


@pytest.mark.timeout(600)
def test_the_commands_make_a_cluster_whose_worker_finishes_its_block_when_its_pod_is_told_to_go(
    settings: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "workflows.cluster.open.check_workers", lambda client: None
    )  # which would miss the GPU
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    (tmp_path / "tries").mkdir()
    with (
        as_in_a_pod("crface-scheduler", tmp_path, port),
        as_in_a_pod("crface-worker", tmp_path, port, OMP_NUM_THREADS="1") as worker,
    ):
        monkeypatch.setattr("workflows.cluster.open._WAIT_S", 120)
        with open_cluster(f"tls://127.0.0.1:{port}") as client:
            done = run_blocks(
                client, block_tasks.worker_name, "", block_tasks.blocks(4), lambda _: None, on_gpu=True
            )
            assert set(done.done) == {"crface-worker-x1"}
            assert set(client.nthreads().values()) == {2}
            for variable in ("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_"):  # not Dask's own
                values = set(client.run(os.getenv, variable).values())
                assert values == {own_variables("crface-worker")[variable]}
            future = client.submit(block_tasks.takes_a_second, str(tmp_path / "tries"), pure=False)
            wait_until(lambda: any((tmp_path / "tries").iterdir()), "the block does not begin")
            tell_to_go(worker)
            assert future.result(timeout=120) == "done"
            future.release()  # or else the worker waits until somebody has fetched it, half a minute at most
            assert worker.wait(timeout=120) == 0, (tmp_path / "crface-worker.log").read_text()
    assert len(list((tmp_path / "tries").iterdir())) == 1


WAITING = """
import os, sys, time
import click
from workflows.cli.main import cli, run_command

@cli.command()
def wait():
    try:
        os.write(1, b"ready\\n")  # a signal during print's flush would have it printed twice
        time.sleep(300)
    finally:
        print("free", flush=True)

sys.argv = ["crface", "wait"]
run_command()
"""


def test_a_command_that_is_told_to_go_gives_the_workspace_free() -> None:
    prefix = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"] if first_processes() else []
    process = subprocess.Popen(
        [*prefix, sys.executable, "-c", WAITING],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout
    assert process.stdout.readline() == b"ready\n"
    tell_to_go(process)
    said, complaint = process.communicate(timeout=120)
    assert said == b"free\n"
    assert complaint.strip() == b"crface: interrupted; the same command continues where it stopped"
    assert process.returncode == 130
