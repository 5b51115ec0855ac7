"""The detectors of this package, as its entry points name them; nothing heavy is imported until one is created."""

from pathlib import Path

from detectors.base import Detector, DetectorEntry

_PRETRAINED = Path(__file__).parent / "pretrained"


def _mobilenet025(weights: Path | None, device: str) -> Detector:
    from detectors.retinaface import create_mobilenet025  # with torch, which planning need not wait for

    return create_mobilenet025(weights, device)


MOBILENET025 = DetectorEntry(
    description="RetinaFace with the mobilenet0.25 trunk: small, for CPUs; priors of 16 to 512 px",
    version=1,
    shipped_weights=_PRETRAINED / "retinaface-mobilenet0.25.safetensors",
    create=_mobilenet025,
)
"""What the entry-point group `crface.detectors` names `retinaface-mobilenet0.25`."""
