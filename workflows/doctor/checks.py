"""What the facts about a machine mean for a job: fine, a warning or a failure, with the next step."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final, Literal

from pipeline.workspace.place import Place

Status = Literal["ok", "warn", "fail"]

_GIB = 2**30
_WORKER_BYTES = 1.5 * _GIB  # what `workflows.cluster.local` assumes for a detector and its activations
_BYTES_PER_IMAGE = 5000 * 5 * 4 + 5000 * 4  # candidates and refined confidences, before compression
_SPARE_BYTES = 0.5 * _GIB  # index, ledger, checkpoints, report
_SHM_BYTES: Final = 64 * 2**20  # a container's default


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """The result of one check."""

    name: str
    status: Status
    found: str
    """The facts, in words."""
    advice: str = ""
    """The next step; empty if none is needed."""

    def as_json(self) -> dict[str, str]:
        """The check as JSON values."""
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """A package that this one needs."""

    name: str
    installed: str | None
    """Its version; None if it is not installed."""
    wanted: str
    """The accepted versions, such as `>=2.6`; empty for any."""
    is_in_range: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """A machine's resources, as far as this process may use them."""

    python: str
    system: str
    num_cores: int
    memory_bytes: int
    available_bytes: int
    shm_bytes: int | None
    """Size of /dev/shm; None without one."""
    workspace: Place
    is_writable: bool
    free_bytes: int | None
    """Free space on the workspace's disk; None for an object store, which has no limit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpu:
    """GPUs, according to torch and to the system."""

    torch: str
    names: tuple[str, ...]
    """Names and memory of the GPUs that torch can use."""
    is_built_for_cuda: bool
    has_nvidia_device: bool
    """Whether the system has an NVIDIA GPU, even if torch cannot use it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DataSet:
    """Facts about a data set."""

    folder: Path
    num_images: int = 0
    splits: tuple[str, ...] = ()
    """Each split in words, such as `val: 3226 images, labelled`."""
    problems: tuple[str, ...] = field(default=())
    """Why the data set, or an image that was tried, cannot be read."""


def packages(found: Sequence[Package]) -> Check:
    """Every required package must be installed, in an accepted version."""
    wrong = [package for package in found if not package.is_in_range]
    if wrong:
        words = ", ".join(
            f"{package.name} {package.installed or 'is not installed'} (wanted: {package.wanted or 'any'})"
            for package in wrong
        )
        return Check(
            name="packages", status="fail", found=words, advice="install what is pinned, with `make setup`"
        )
    versions = ", ".join(
        f"{package.name} {package.installed}"
        for package in found
        if package.name in ("torch", "numpy", "opencv-python-headless", "zarr", "dask")
    )
    return Check(name="packages", status="ok", found=f"{len(found)} as wanted: {versions}")


def processor(machine: Machine) -> Check:
    """One core is enough, but slow."""
    cores = f"{machine.num_cores} core{'s' * (machine.num_cores != 1)}"
    return Check(name="processor", status="ok", found=f"{cores}; {machine.system}, Python {machine.python}")


def memory(machine: Machine) -> Check:
    """There must be memory for one worker."""
    found = f"{_gib(machine.available_bytes)} of {_gib(machine.memory_bytes)} free"
    if machine.memory_bytes < _WORKER_BYTES:
        return Check(
            name="memory",
            status="fail",
            found=found,
            advice=f"a worker needs about {_gib(_WORKER_BYTES)}: use a larger machine or container",
        )
    if machine.available_bytes < _WORKER_BYTES:
        return Check(
            name="memory",
            status="warn",
            found=found,
            advice=f"a worker needs about {_gib(_WORKER_BYTES)}: end other programs first",
        )
    workers = int(machine.available_bytes / _WORKER_BYTES)
    return Check(name="memory", status="ok", found=f"{found}: enough for {workers} workers")


def gpu(found: Gpu) -> Check:
    """No GPU is fine; a GPU that torch cannot use is worth a warning."""
    if found.names:
        return Check(name="gpu", status="ok", found=f"torch {found.torch}: {', '.join(found.names)}")
    if found.has_nvidia_device:
        why = "its driver does not fit" if found.is_built_for_cuda else "this torch is built for CPUs"
        return Check(
            name="gpu",
            status="warn",
            found=f"there is an NVIDIA device, but torch {found.torch} cannot use it: {why}",
            advice="compare `nvidia-smi` with the builds on pytorch.org, or continue without it",
        )
    return Check(name="gpu", status="ok", found=f"torch {found.torch}: none, detectors run on the processor")


def codecs(broken: dict[str, str]) -> Check:
    """Every image format of data sets must be decodable; `broken` has the reason, or "", for each."""
    failed = {kind: reason for kind, reason in broken.items() if reason}
    if failed:
        return Check(
            name="images",
            status="fail",
            found="; ".join(f"{kind}: {reason}" for kind, reason in failed.items()),
            advice="this OpenCV lacks codecs: install opencv-python-headless from PyPI",
        )
    return Check(name="images", status="ok", found=f"{', '.join(broken)} can be read")


def shared_memory(machine: Machine) -> Check:
    """Too little kills training on several GPUs with a bus error; nothing else here uses it."""
    if machine.shm_bytes is None:
        return Check(
            name="shared mem", status="ok", found="no /dev/shm, which only training on several GPUs uses"
        )
    found = f"{machine.shm_bytes / 2**20:,.0f} MiB in /dev/shm"
    if machine.shm_bytes <= _SHM_BYTES:
        return Check(
            name="shared mem",
            status="warn",
            found=found,
            advice="only training on several GPUs uses it: give the container more for that (--shm-size 1g)",
        )
    return Check(name="shared mem", status="ok", found=found)


def workspace(machine: Machine, num_images: int, num_detectors: int) -> Check:
    """The workspace must be writable, with room for what the stages store for this many images."""
    if not machine.is_writable:
        return Check(
            name="workspace",
            status="fail",
            found=f"{machine.workspace} cannot be written",
            advice="choose another with --out",
        )
    needed = _SPARE_BYTES + num_images * num_detectors * _BYTES_PER_IMAGE
    if machine.free_bytes is None:
        return Check(name="workspace", status="ok", found=f"{machine.workspace} can be written")
    found = f"{_gib(machine.free_bytes)} free on the disk of {machine.workspace}"
    if machine.free_bytes < needed:
        return Check(
            name="workspace",
            status="fail",
            found=f"{found}, {_gib(needed)} may be needed",
            advice="free some space, or choose another disk with --out",
        )
    return Check(name="workspace", status="ok", found=f"{found}; at most {_gib(needed)} needed")


def data_set(found: DataSet) -> Check:
    """The data set must be readable, and the images that were tried must decode."""
    if found.problems:
        return Check(
            name="data",
            status="fail",
            found="; ".join(found.problems),
            advice=f"`crface dataset validate {found.folder}` names everything that is wrong",
        )
    return Check(name="data", status="ok", found=f"{found.folder}: {'; '.join(found.splits)}")


def _gib(number: float) -> str:
    return f"{number / _GIB:.1f} GiB"
