"""The detectors of this package, as its entry points name them; nothing heavy is imported until one is created."""

from functools import partial
from pathlib import Path

from detectors.base import Detector, DetectorEntry

_PRETRAINED = Path(__file__).parent / "pretrained"


def _create(name: str, weights: Path | None, device: str) -> Detector:
    from detectors.networks import create_detector  # with torch, which planning need not wait for

    return create_detector(name, weights, device)


def _entry(name: str, description: str, version: int, is_trained: bool) -> DetectorEntry:
    return DetectorEntry(
        description=description,
        version=version,
        shipped_weights=_PRETRAINED / f"{name}.safetensors" if is_trained else None,
        create=partial(_create, name),
    )


MOBILENET025 = _entry(
    "retinaface-mobilenet0.25",
    "RetinaFace with the mobilenet0.25 trunk: small, for CPUs; priors of 16 to 512 px",
    version=1,
    is_trained=True,
)
"""What the entry-point group `crface.detectors` names `retinaface-mobilenet0.25`."""
