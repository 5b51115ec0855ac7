"""The detectors of this package, named by its entry points; nothing heavy is imported until one is created."""

from functools import partial
from pathlib import Path

from detectors.base import Detector, DetectorEntry

_PRETRAINED = Path(__file__).parent / "pretrained"


def _create(name: str, weights: Path | None, device: str) -> Detector:
    from detectors.adapter import create_detector  # imports torch, which planning need not wait for

    return create_detector(name, weights, device)


def _entry(name: str, description: str, version: int, is_trained: bool) -> DetectorEntry:
    return DetectorEntry(
        description=description,
        version=version,
        shipped_weights=_PRETRAINED / f"{name}.safetensors" if is_trained else None,
        needs_weights=True,
        create=partial(_create, name),
    )


MOBILENET025 = _entry(
    "retinaface-mobilenet0.25",
    "RetinaFace with the mobilenet0.25 trunk: small, for CPUs; priors of 16 to 512 px",
    version=2,
    is_trained=True,
)
"""The entry `retinaface-mobilenet0.25` of the group `crface.detectors`."""
RETINAFACE_RESNET50 = _entry(
    "retinaface-resnet50",
    "RetinaFace with the ResNet-50 trunk; priors of 16 to 512 px",
    version=2,
    is_trained=False,
)
"""The entry `retinaface-resnet50`."""
HAMBOX_RESNET50 = _entry(
    "hambox-resnet50",
    "HAMBox as the paper re-implements it, on ResNet-50; one anchor per cell, 16 to 512 px",
    version=2,
    is_trained=False,
)
"""The entry `hambox-resnet50`."""
HAMBOX_SLIM = _entry(
    "hambox-slim",
    "HAMBox on a thin ResNet: small, for CPUs",
    version=2,
    is_trained=True,
)
"""The entry `hambox-slim`."""
HRNET_W18, HRNET_W32, HRNET_W48 = (
    _entry(
        f"hrnet-w{width}",
        f"the head and anchors of HAMBox on HRNet-W{width}" + (", the paper's own" if width == 48 else ""),
        version=2,
        is_trained=False,
    )
    for width in (18, 32, 48)
)
"""The entries `hrnet-w18`, `hrnet-w32` and `hrnet-w48`."""
HRNET_SLIM = _entry(
    "hrnet-slim",
    "the head and anchors of HAMBox on a thin HRNet: small, for CPUs",
    version=2,
    is_trained=True,
)
"""The entry `hrnet-slim`."""
