"""This machine's GPUs, and a check that no two workers share one, without initialising CUDA in the driver."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pipeline.errors import UserError

if TYPE_CHECKING:
    from distributed import Client

GPU: Final = "GPU"
"""Dask resource of a worker with a GPU of its own: `dask worker --resources GPU=1`."""

_DRIVERS = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")  # of NVIDIA, AMD, and either under Windows
_WAIT_S = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceReport:
    """The device that a worker computes on."""

    host: str
    device: str
    """Identifier of the GPU; empty for a worker that sees none and computes on its CPU."""


def visible_gpus() -> list[str]:
    """This machine's GPUs, as CUDA_VISIBLE_DEVICES names them; empty without any.

    They are taken from CUDA_VISIBLE_DEVICES if it is set, else from `nvidia-smi`.

    Raises UserError when `nvidia-smi` fails.
    """
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is not None:
        return [name for name in (part.strip() for part in chosen.split(",")) if name]
    if (program := shutil.which("nvidia-smi")) is None:
        return []
    query = [program, "--query-gpu=uuid", "--format=csv,noheader"]
    try:
        listed = subprocess.run(query, capture_output=True, text=True, timeout=_WAIT_S, check=True)  # noqa: S603
    except (OSError, subprocess.SubprocessError) as error:
        raise UserError(f"nvidia-smi does not list this machine's GPUs: {error}") from error
    return listed.stdout.split()


def report_device() -> DeviceReport:
    """The device that this worker computes on; initialises CUDA if it has a GPU."""
    host = platform.node()
    if os.environ.get("CUDA_VISIBLE_DEVICES") == "" or not any(Path(driver).exists() for driver in _DRIVERS):
        return DeviceReport(host=host, device="")  # without loading torch, which not all work needs
    import torch

    if not torch.cuda.is_available():
        return DeviceReport(host=host, device="")
    return DeviceReport(host=host, device=str(torch.cuda.get_device_properties(0).uuid))


def check_devices(reports: Mapping[str, DeviceReport], gpu_workers: frozenset[str] = frozenset()) -> None:
    """Check that no two workers of `reports` share a GPU, and that each of `gpu_workers` has one.

    Raises UserError that names the workers, their host and the GPU.
    """
    without = sorted(worker for worker in gpu_workers if worker in reports and not reports[worker].device)
    if without:
        host = reports[without[0]].host
        raise UserError(
            f"{len(without)} workers have the resource {GPU} but see no GPU, {without[0]} on {host} first: "
            "look at CUDA_VISIBLE_DEVICES and the GPU's driver there"
        )
    users: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    for worker, report in reports.items():
        if report.device:
            users[report.host, report.device].append(worker)
    for (host, device), workers in sorted(users.items()):
        if len(workers) > 1:
            raise UserError(
                f"the workers {', '.join(sorted(workers))} on {host} share the GPU {device}: start each "
                "with a CUDA_VISIBLE_DEVICES of its own"
            )


def check_workers(client: Client) -> None:
    """Check the devices of all workers present at this moment.

    Raises UserError as `check_devices` does.
    """
    reports = client.run(report_device, on_error="ignore")
    check_devices(reports, frozenset(gpu_workers(client)))


def gpu_workers(client: Client) -> dict[str, int]:
    """Number of GPU resources of each worker that has any, by address."""
    workers = client.scheduler_info(n_workers=-1)["workers"]
    return {
        address: int(worker["resources"][GPU])
        for address, worker in workers.items()
        if worker["resources"].get(GPU)
    }
