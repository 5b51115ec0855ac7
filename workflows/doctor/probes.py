"""Facts about a machine, a data set and a detector; nothing is judged or left behind here."""

import os
import platform
import shutil
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

import cv2
import numpy as np
from packaging.requirements import Requirement

import detectors
from detectors.golden import ask, golden_values, judge
from pipeline.dataset.index import load_index
from pipeline.dataset.splits import find_splits, list_images, read_annotations, split_files
from pipeline.errors import UserError
from pipeline.images.decode import ImageError, decode_image, read_image
from pipeline.images.header import Format
from pipeline.imports.imported import is_imported, plan_imported
from pipeline.workspace.layout import Workspace
from pipeline.workspace.place import Place, UrlPath, listed
from workflows.doctor.checks import Check, DataSet, Gpu, Machine, Package

_IMAGES_TRIED = 5
_SUFFIXES: dict[Format, str] = {"JPEG": ".jpg", "PNG": ".png", "WebP": ".webp", "BMP": ".bmp"}


def machine(workspace: Place) -> Machine:
    """Processor, memory and disks, within the limits of a container if this is one."""
    from dask.system import CPU_COUNT
    from distributed.system import MEMORY_LIMIT

    if isinstance(workspace, Path):
        place = next(folder for folder in (workspace, *workspace.parents) if folder.exists())
        is_writable = place.is_dir() and os.access(place, os.W_OK | os.X_OK)
        free_bytes: int | None = shutil.disk_usage(place).free
    else:
        is_writable, free_bytes = _takes_objects(workspace), None
    shm = Path("/dev/shm")  # noqa: S108 - looked at, not used
    return Machine(
        python=platform.python_version(),
        system=f"{platform.system()} {platform.machine()}",
        num_cores=CPU_COUNT,
        memory_bytes=MEMORY_LIMIT,
        available_bytes=min(_available_bytes(), MEMORY_LIMIT),
        shm_bytes=shutil.disk_usage(shm).total if shm.is_dir() else None,
        workspace=workspace,
        is_writable=is_writable,
        free_bytes=free_bytes,
    )


def _takes_objects(workspace: UrlPath) -> bool:
    try:
        (workspace / ".doctor").write(b"")
        (workspace / ".doctor").unlink()
    except OSError:
        return False
    return True


def packages() -> list[Package]:
    """The packages that this one needs, without its extras."""
    found = []
    for line in requires("crface") or []:
        wanted = Requirement(line)
        if wanted.marker is not None and not wanted.marker.evaluate({"extra": ""}):
            continue
        try:
            installed = version(wanted.name)
        except PackageNotFoundError:
            installed = None
        found.append(
            Package(
                name=wanted.name,
                installed=installed,
                wanted=str(wanted.specifier),
                is_in_range=installed is not None and wanted.specifier.contains(installed, prereleases=True),
            )
        )
    return found


def gpu() -> Gpu:
    """GPUs, according to torch and to the system."""
    import torch

    properties = [torch.cuda.get_device_properties(i) for i in range(torch.cuda.device_count())]
    return Gpu(
        torch=torch.__version__,
        names=tuple(f"{found.name} ({found.total_memory / 2**30:.0f} GiB)" for found in properties),
        is_built_for_cuda=torch.version.cuda is not None,
        has_nvidia_device=Path("/dev/nvidia0").exists() or Path("/dev/dxg").exists(),
    )


def codecs() -> dict[str, str]:
    """For each image format of data sets, why a small picture cannot be written and read back; empty if it can."""
    picture = np.arange(16 * 16 * 3, dtype=np.uint8).reshape(16, 16, 3)
    reasons: dict[str, str] = {}
    for kind, suffix in _SUFFIXES.items():  # of a format with several suffixes, OpenCV writes some only
        try:
            data = cv2.imencode(suffix, picture)[1].tobytes()
            decode_image(data, Path(f"test{suffix}"))
            reasons[kind] = ""
        except cv2.error as error:
            reasons[kind] = error.err or "OpenCV cannot write it"
        except ImageError as error:
            reasons[kind] = error.reason
    return reasons


def data_set(folder: Path, max_pixels: int) -> DataSet:
    """The list of every split, and a few images of each, spread evenly, that were read."""
    splits, problems, total = [], [], 0
    try:
        for split in find_splits(folder):
            files = split_files(folder, split)
            annotations = read_annotations(files)
            listed = [one.path for one in annotations] if annotations is not None else list_images(files)[0]
            total += len(listed)
            splits.append(f"{split}: {len(listed)} images{'' if annotations is None else ', labelled'}")
            step = max(1, (len(listed) - 1) // (_IMAGES_TRIED - 1))
            for name in listed[::step][:_IMAGES_TRIED]:
                try:
                    read_image(files.image_folder / name, max_pixels)
                except ImageError as error:
                    problems.append(str(error))
    except UserError as error:
        problems.append(str(error))
    return DataSet(folder=folder, num_images=total, splits=tuple(splits), problems=tuple(problems))


def detector(spec: str, workspace: Workspace) -> Check:
    """A detector's check on the golden picture, on the device a job would use; imported candidates must be complete."""
    name = f"detector {spec}"
    if is_imported(spec):
        return _imported(name, spec, workspace)
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        golden = golden_values(spec)
        finding = judge(ask(detectors.create(spec, device=device)), golden)
    except ValueError as error:
        return Check(
            name=name, status="fail", found=str(error), advice="`crface detectors` lists the available ones"
        )
    except Exception as error:  # a detector may be anyone's code
        return Check(
            name=name,
            status="fail",
            found=f"it fails on a drawn picture: {type(error).__name__}: {error}",
            advice="fix the detector: any uint8 RGB image must give candidates",
        )
    return Check(
        name=name, status=finding.status, found=f"{finding.found}, on {device}", advice=finding.advice
    )


def _imported(name: str, spec: str, workspace: Workspace) -> Check:
    try:
        for file in listed(workspace.index("x").parent, "*.parquet"):
            plan = plan_imported(workspace, load_index(workspace, file.stem), spec, block_images=1)
            if not plan.blocks:
                return Check(name=name, status="ok", found=f"imported, complete on {file.stem}")
    except UserError as error:
        return Check(name=name, status="fail", found=str(error))
    return Check(
        name=name,
        status="fail",
        found=f"{workspace.root} has no split whose candidates are complete",
        advice="import them with `crface import-candidates`",
    )


def _available_bytes() -> int:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration):
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
