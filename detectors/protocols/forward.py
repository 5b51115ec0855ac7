"""Running any detector under a protocol, through nothing but the interface `detectors.Detector`."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import UInt8

from crface.array_shapes import ScoredBoxes
from detectors.base import Detector
from detectors.protocols.fusion import fuse
from detectors.protocols.protocol import DetectionProtocol
from detectors.protocols.views import View, resized


@runtime_checkable
class Enlarging(Protocol):
    """A detector that enlarges images on its own device, so that they are sent there at their own size."""

    def candidates_resized(
        self, images: Sequence[UInt8[np.ndarray, "_ _ 3"]], height: int, width: int
    ) -> list[ScoredBoxes]:
        """The candidates of each image enlarged to `height` x `width`, in pixels of the enlarged image."""


def protocol_candidates(
    detector: Detector, protocol: DetectionProtocol, images: Sequence[UInt8[np.ndarray, "_ _ 3"]]
) -> list[ScoredBoxes]:
    """What a detector finds in each RGB image under a protocol: `x1 y1 x2 y2 confidence`, best first.

    Boxes are in pixels of the image. For a single view they are candidates, before NMS; for several views, the
    result of their fusion.
    """
    views = [view_candidates(detector, view, images) for view in protocol.views]
    if protocol.fusion is None:
        return views[0]
    return [fuse(of_image, protocol.fusion) for of_image in zip(*views, strict=True)]


def view_candidates(
    detector: Detector, view: View, images: Sequence[UInt8[np.ndarray, "_ _ 3"]]
) -> list[ScoredBoxes]:
    """The candidates of each RGB image as a view presents it, in pixels of the image itself, best first.

    Images are enlarged by the detector if it is `Enlarging`, otherwise by OpenCV (both bilinear, and equal within
    one grey level), and shrunk by OpenCV (area averaging).
    """
    shown = [np.ascontiguousarray(image[:, ::-1]) if view.is_mirrored else image for image in images]
    sizes = [view.size(*image.shape[:2]) for image in images]
    found: list[ScoredBoxes | None] = [None] * len(images)
    if isinstance(detector, Enlarging):
        enlarged: dict[tuple[int, int], list[int]] = {}
        for i, (image, size) in enumerate(zip(shown, sizes, strict=True)):
            if size[0] * size[1] > image.shape[0] * image.shape[1]:
                enlarged.setdefault(size, []).append(i)
        for size, members in enlarged.items():
            candidates = detector.candidates_resized([shown[i] for i in members], *size)
            for i, of_image in zip(members, candidates, strict=True):
                found[i] = of_image
    left = [i for i, candidates in enumerate(found) if candidates is None]
    candidates = detector.candidates([resized(shown[i], *sizes[i]) for i in left]) if left else []
    for i, of_image in zip(left, candidates, strict=True):
        found[i] = of_image
    return [
        _in_image(candidates, view, *image.shape[:2])
        for candidates, image in zip(found, images, strict=True)
        if candidates is not None
    ]


def _in_image(candidates: ScoredBoxes, view: View, height: int, width: int) -> ScoredBoxes:
    if not view.is_mirrored and view.size(height, width) == (height, width):
        return candidates
    boxes = view.placement(height, width).inverse().boxes(candidates[:, :4])
    return np.column_stack([boxes, candidates[:, 4]])
