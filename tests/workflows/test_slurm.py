"""A real Slurm of one node: jobs are the workers, and one that is told to go is replaced by another."""

import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import block_tasks
import pytest
import torch
from cache_job import Job
from dask_processes import wait_until
from fake_detector import SLOW
from places import SUPPORT
from tls_clients import check_that_others_are_turned_away

from pipeline.cache.plan import plan_cache
from pipeline.cache.work import cache_block, prepare_cache
from pipeline.errors import UserError
from workflows.cli.options import make_job
from workflows.cluster.open import open_cluster
from workflows.cluster.tls import tls_required
from workflows.job.data import EMBEDDED, update_indexes
from workflows.spread.scatter import run_blocks

SCRIPT = SUPPORT / "slurm_node.sh"
PROGRAMS = ("slurmctld", "slurmd", "sbatch", "squeue", "scancel", "scontrol", "munged")
TESTS = SCRIPT.parent

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]


@pytest.fixture(scope="module")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Start Slurm and give the folder that it lives in; SLURM_CONF names it."""
    pytest.importorskip("dask_jobqueue", reason="dask-jobqueue is not installed: pip install 'crface[slurm]'")
    if os.geteuid():
        pytest.skip("starting a Slurm takes root")
    if os.environ.get("CRFACE_INSTALL_SLURM"):
        subprocess.run([SCRIPT, "install"], check=True)
    missing = [program for program in PROGRAMS if shutil.which(program) is None]
    if missing:
        pytest.skip(f"no {', '.join(missing)} here: `make test-slurm` installs Debian's packages")
    folder = tmp_path_factory.mktemp("slurm")
    for parent in folder.parents[:3]:  # of pytest, and closed to others, which munge does not like
        parent.chmod(0o755)
    try:
        subprocess.run([SCRIPT, "start", folder], check=True)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("SLURM_CONF", str(folder / "slurm.conf"))
            yield folder
    finally:
        subprocess.run([SCRIPT, "stop", folder], check=True)


def cluster_file(folder: Path, log: Path | None = None, **settings: object) -> Path:
    values = {"jobs": 2, "cpus": 1, "memory": '"2GB"', "walltime": '"00:30:00"', "host": '"127.0.0.1"'}
    values |= {"log_folder": f'"{folder / "logs"}"', **settings}
    setup = [
        f"export PYTHONPATH={TESTS.parent}:{TESTS}",
        *([f"export FAKE_DETECTOR_LOG={log}"] if log else []),
    ]
    lines = ['kind = "slurm"', *(f"{key} = {value}" for key, value in values.items()), f"setup = {setup}"]
    file = folder / "slurm.toml"
    file.write_text("\n".join(lines) + "\n")
    return file


def crface(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    program = "from workflows.cli.main import run_command; run_command()"
    command = [sys.executable, "-c", program, *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": str(TESTS.parent)}
    return subprocess.run(command, capture_output=True, text=True, env=environment)


@pytest.mark.parametrize(
    ("setting", "complaint"),
    [
        ({"partition": '"nowhere"'}, r"Slurm refuses the job: .*nowhere|invalid partition"),
        (
            {"python": '"/nowhere/python"'},
            r"the Slurm jobs crface-\w+ ended before a worker came: .*logs has",
        ),
    ],
)
def test_jobs_that_cannot_be_are_a_sentence(
    slurm: Path, tmp_path: Path, setting: dict[str, str], complaint: str
) -> None:
    with pytest.raises(UserError, match=complaint), open_cluster(str(cluster_file(tmp_path, **setting))):
        pass


def test_with_tls_jobs_work_and_who_has_no_certificate_is_turned_away(slurm: Path, tmp_path: Path) -> None:
    pytest.importorskip("cryptography", reason="making certificates needs the package cryptography")
    with (
        tls_required(tmp_path / "tls"),
        open_cluster(str(cluster_file(tmp_path, jobs=1)), num_blocks=1) as client,
    ):
        done = run_blocks(client, block_tasks.worker_name, "", block_tasks.blocks(4), lambda _: None)
        assert len(done.done) == 4
        check_that_others_are_turned_away(client, tmp_path / "tls", tmp_path / "theirs")


def test_a_job_that_slurm_tells_to_go_commits_its_block_exits_with_0_and_is_replaced(
    slurm: Path, tmp_path: Path
) -> None:
    jobs = []
    for name in ("told", "undisturbed"):
        (tmp_path / name).mkdir()
        job = Job(tmp_path / name)
        for number in range(60):
            job.draw(number, red=number + 1, green=SLOW)
        jobs.append(job)
    told, undisturbed = jobs
    file = cluster_file(tmp_path, told.log, jobs=1)
    command = [sys.executable, TESTS / "drive_cache.py", told.workspace.root, told.photos, file]
    driver = subprocess.Popen(
        [*map(str, command)],
        env={**os.environ, "PYTHONPATH": str(TESTS.parent)},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        wait_until(lambda: len(told.forwarded) > 10, "the first job does not get on")
        (first,) = subprocess.check_output(
            ["squeue", "--noheader", "--states=RUNNING", "--format=%i"], text=True
        ).split()
        # what `--signal=B:USR1@...` does before the walltime
        subprocess.run(["scancel", "--batch", "--signal=USR1", first], check=True)
        _, complaints = driver.communicate(timeout=600)
    finally:
        driver.kill()
    assert driver.returncode == 0, complaints
    shown = subprocess.check_output(["scontrol", "show", "job", first], text=True)
    assert "JobState=COMPLETED" in shown
    assert "ExitCode=0:0" in shown
    assert Counter(told.forwarded) == Counter(range(1, 61))  # no image twice
    assert len({row.worker for row in told.ledger.read().values()}) == 2
    undisturbed.run(block_images=2)
    assert told.stored_files() == undisturbed.stored_files()


def stored(workspace: Path) -> dict[str, bytes]:
    store = workspace / "candidates.zarr"
    return {str(path.relative_to(store)): path.read_bytes() for path in store.rglob("*") if path.is_file()}


def test_the_smoke_configurations_cache_is_the_same_from_slurm_jobs_as_from_one_process(
    slurm: Path, tmp_path: Path
) -> None:
    out = tmp_path / "slurm"
    cached = crface("cache", "--config", "smoke", "--out", out, "--cluster", cluster_file(tmp_path))
    assert cached.returncode == 0, cached.stderr
    assert "waiting for the first of 2 Slurm jobs named crface-" in cached.stderr
    assert cached.stdout.count(" images done") == 6
    jobs = subprocess.check_output(["squeue", "--noheader", "--states=RUNNING,PENDING"], text=True)
    assert jobs == ""  # none outlives the command

    here = make_job(config="smoke", out=tmp_path / "here", data=out / EMBEDDED)
    num_threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as in the jobs: the last bits of a convolution depend on it
    for index in update_indexes(here).values():
        for detector in here.config.cache.detectors:
            plan = plan_cache(here.workspace, index, detector, here.config.cache)
            prepare_cache(plan)
            for block in plan.blocks:
                cache_block(plan.spec, block)
    torch.set_num_threads(num_threads)
    assert stored(out) == stored(tmp_path / "here") != {}
