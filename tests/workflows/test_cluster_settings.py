"""A cluster's TOML file: what it may say, and what becomes of it."""

from pathlib import Path

import pytest
from places import DOCS

from pipeline.errors import UsageError, UserError
from workflows.cluster.open import open_cluster
from workflows.cluster.settings import SlurmSettings, SshSettings, read_cluster_file
from workflows.cluster.slurm import slurm_cluster
from workflows.cluster.ssh import ssh_cluster

DOCS = DOCS / "clusters.md"


def file_of(folder: Path, text: str) -> Path:
    file = folder / "cluster.toml"
    file.write_text(text)
    return file


def test_the_documentations_files_are_valid(tmp_path: Path) -> None:
    blocks = [part.split("```")[0] for part in DOCS.read_text().split("```toml\n")[1:]]
    ssh, slurm = (read_cluster_file(file_of(tmp_path, block)) for block in blocks)
    assert isinstance(ssh, SshSettings)
    assert (ssh.hosts, ssh.gpus) == (("gpu1", "gpu2"), 4)
    assert isinstance(slurm, SlurmSettings)
    assert (slurm.jobs, slurm.gpu, slurm.leave_early_s) == (32, "gpu:a100:1", 300)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('kind = "slurm"', "jobs"),
        ('kind = "slurm"\njobs = 0', "jobs = 0"),
        ('kind = "slurm"\njobs = 1\nqueue = "x"', "there is no key queue; there are kind, jobs, partition"),
        ('kind = "slurm"\njobs = 1\ngpu = "gpu:4"', "gpu = 'gpu:4'"),
        ('kind = "slurm"\njobs = 1\nwalltime = "soon"', "walltime = 'soon'"),
        ('kind = "ssh"\nhosts = []', "hosts"),
        ('kind = "pbs"', "kind = 'pbs'"),
        ("jobs = 1", "kind"),
        ("kind =", "not valid TOML"),
    ],
)
def test_what_a_file_must_not_say_is_a_usage_error_that_names_it(
    tmp_path: Path, text: str, complaint: str
) -> None:
    file = file_of(tmp_path, text)
    with pytest.raises(UsageError) as error, open_cluster(str(file)):
        pass
    assert str(file) in str(error.value)
    assert complaint in str(error.value)


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("dask_jobqueue", "dask_jobqueue.slurm", "asyncssh"):
        monkeypatch.setitem(__import__("sys").modules, module, None)
    slurm = SlurmSettings(kind="slurm", jobs=1)
    with pytest.raises(UserError, match=r"pip install 'crface\[slurm\]'"), slurm_cluster(slurm, {}, None):
        pass
    ssh = SshSettings(kind="ssh", hosts=("one",))
    with pytest.raises(UserError, match=r"pip install 'crface\[ssh\]'"), ssh_cluster(ssh, {}):
        pass


def test_a_machine_that_cannot_submit_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("dask_jobqueue", reason="dask-jobqueue is not installed: pip install 'crface[slurm]'")
    monkeypatch.setenv("PATH", str(tmp_path))
    slurm = SlurmSettings(kind="slurm", jobs=1)
    with pytest.raises(UserError, match="there is no sbatch here"), slurm_cluster(slurm, {}, None):
        pass
