"""A cluster's TOML file: the machines or jobs that do the work; never part of a fingerprint."""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, Field

from pipeline.config.sections import Section
from pipeline.config.toml import read_toml


class SlurmSettings(Section):
    """Jobs of a Slurm cluster, one worker each (`workflows.cluster.slurm`)."""

    kind: Literal["slurm"]
    jobs: int = Field(ge=1, le=10_000, description="jobs at once; fewer if there are fewer blocks")
    partition: str = Field("", description="Slurm's partition; empty: its default one")
    account: str = Field("", description="account that Slurm charges; empty: its default")
    gpu: str = Field(
        "",
        pattern=r"^$|^gpu(:[A-Za-z][\w.-]*)?(:1)?$",
        description="one GPU as --gres names it, such as gpu:a100:1",
    )
    cpus: int = Field(4, ge=1, description="cores of each job")
    memory: str = Field(
        "8GB", pattern=r"^\d+ ?[KMGT]i?B$", description="memory of each job, the worker's limit"
    )
    walltime: str = Field(
        "04:00:00", pattern=r"^(\d+-)?\d{1,2}:\d\d:\d\d$", description="time limit of each job"
    )
    leave_early_s: int = Field(
        300,
        ge=1,
        le=65_535,
        description="seconds before the walltime after which a job begins no block; longer than one block takes",
    )
    directives: tuple[str, ...] = Field(
        (), strict=False, description="more options of sbatch, such as --qos=x"
    )
    setup: tuple[str, ...] = Field(
        (), strict=False, description="shell lines to run before the worker starts"
    )
    python: str = Field("", description="Python with this package on the nodes; empty: the driver's")
    host: str = Field("", description="address of this machine as nodes see it; empty: Dask's guess")
    log_folder: str = Field("slurm-logs", min_length=1, description="folder for the jobs' output")


class SshSettings(Section):
    """Hosts reached over SSH without a prompt (`workflows.cluster.ssh`)."""

    kind: Literal["ssh"]
    hosts: tuple[str, ...] = Field(min_length=1, strict=False, description="names as in ~/.ssh/config")
    gpus: int = Field(0, ge=0, le=64, description="GPUs of each host, with one worker each; 0: CPU workers")
    workers: int = Field(1, ge=1, le=1024, description="CPU workers on each host")
    cpus: int = Field(4, ge=1, description="cores that each worker computes with")
    memory: str = Field(
        "",
        pattern=r"^$|^\d+ ?[KMGT]i?B$",
        description="memory limit of each worker; empty: its share of the host",
    )
    python: str = Field("", description="Python with this package on the hosts; empty: the driver's")
    host: str = Field("", description="address of this machine as the hosts see it; empty: Dask's guess")


class _Kind(BaseModel):
    kind: Literal["slurm", "ssh"]


def read_cluster_file(path: Path) -> SlurmSettings | SshSettings:
    """The settings in a cluster's TOML file.

    Raises UsageError that names the file and the key.
    """
    kind = read_toml(str(path), _Kind).kind  # read first, so that errors are about the right kind's keys
    return read_toml(str(path), SlurmSettings) if kind == "slurm" else read_toml(str(path), SshSettings)
