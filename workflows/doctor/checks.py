"""What the facts about a machine mean for a job: each is fine, to be warned of, or fatal, with the next step."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final, Literal

from pipeline.workspace.place import Place

Status = Literal["ok", "warn", "fail"]

_GIB = 2**30
_WORKER_BYTES = 1.5 * _GIB  # what `workflows.cluster.open` reckons for a detector with its activations
_BYTES_PER_IMAGE = 5000 * 5 * 4 + 5000 * 4  # candidates and refined confidences, before compression
_SPARE_BYTES = 0.5 * _GIB  # index, ledger, checkpoints, report
_SHM_BYTES: Final = 64 * 2**20  # what a container gets that nobody gave more


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing that was looked at."""

    name: str
    status: Status
    found: str
    """What was found, in words."""
    advice: str = ""
    """The next step; empty if there is none to take."""

    def as_json(self) -> dict[str, str]:
        """Give the check as JSON values."""
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """A package that this one needs."""

    name: str
    installed: str | None
    """None: it is not."""
    wanted: str
    """The range of versions, as `>=2.6`; empty for any."""
    is_in_range: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What a machine has, as far as this process may use it."""

    python: str
    system: str
    num_cores: int
    memory_bytes: int
    available_bytes: int
    shm_bytes: int | None
    """Size of /dev/shm; None where there is none."""
    workspace: Place
    is_writable: bool
    free_bytes: int | None
    """On the disk that the workspace is, or would be, on; None for a store without a limit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpu:
    """What torch and the system say of graphics cards."""

    torch: str
    names: tuple[str, ...]
    """Of those that torch can use, with their memory."""
    is_built_for_cuda: bool
    has_nvidia_device: bool
    """Whether the system has one, whatever torch sees."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DataSet:
    """What was seen of a data set."""

    folder: Path
    num_images: int = 0
    splits: tuple[str, ...] = ()
    """`val: 3226 images, labelled`."""
    problems: tuple[str, ...] = field(default=())
    """Why it, or an image that was tried, cannot be read."""


def packages(found: Sequence[Package]) -> Check:
    """Every package that is needed must be there, in its range of versions."""
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
    """One core is enough, only slow."""
    cores = f"{machine.num_cores} core{'s' * (machine.num_cores != 1)}"
    return Check(name="processor", status="ok", found=f"{cores}; {machine.system}, Python {machine.python}")


def memory(machine: Machine) -> Check:
    """There must be room for one worker."""
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
    """No GPU is fine; one that torch cannot use is not what its owner wants."""
    if found.names:
        return Check(name="gpu", status="ok", found=f"torch {found.torch}: {', '.join(found.names)}")
    if found.has_nvidia_device:
        why = "its driver does not fit" if found.is_built_for_cuda else "this torch is built for CPUs"
        return Check(
            name="gpu",
            status="warn",
            found=f"there is an NVIDIA device, but torch {found.torch} cannot use it: {why}",
            advice="compare `nvidia-smi` with the builds on pytorch.org, or go on without",
        )
    return Check(name="gpu", status="ok", found=f"torch {found.torch}: none, detectors run on the processor")


def codecs(broken: dict[str, str]) -> Check:
    """Every format that data sets may hold must be decodable; `broken` has a reason for each that is not."""
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
    """Little of it kills trainings on several GPUs with a bus error; nothing else here uses it."""
    if machine.shm_bytes is None:
        return Check(name="shared mem", status="ok", found="no /dev/shm, which only several GPUs would use")
    found = f"{machine.shm_bytes / 2**20:,.0f} MiB in /dev/shm"
    if machine.shm_bytes <= _SHM_BYTES:
        return Check(
            name="shared mem",
            status="warn",
            found=found,
            advice="only a training on several GPUs uses it: give the container more (--shm-size 1g) then",
        )
    return Check(name="shared mem", status="ok", found=found)


def workspace(machine: Machine, num_images: int, num_detectors: int) -> Check:
    """It must be writable, on a disk with room for what the stages store of that many images."""
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
            advice="make room, or choose another disk with --out",
        )
    return Check(name="workspace", status="ok", found=f"{found}; at most {_gib(needed)} needed")


def data_set(found: DataSet) -> Check:
    """It must be one, and the images that were tried must decode."""
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
