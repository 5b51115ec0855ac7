"""The adapter of this package's own networks: images in, the decoded boxes of their priors out as candidates."""

from collections.abc import Sequence
from math import prod
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Float32, Int64, UInt8
from torch import Tensor

from crface.array_shapes import ScoredBoxes
from detectors.base import MAX_CANDIDATES, Precision
from detectors.forward.bounded import BoundedForward
from detectors.networks.anchor_network import AnchorNetwork
from detectors.networks.by_name import NETWORKS
from detectors.networks.priors import cached_priors, decode_boxes, decode_points
from detectors.weights import load_network

__all__ = ["NetworkDetector", "placed"]

_NUM_LANDMARKS = 5


class NetworkDetector:
    """Candidates of an anchor network: the `detectors.Detector` that the pipeline calls.

    `network` is the bare network in evaluation mode; `name` is the name that results are filed under. Images of
    up to `max_batch_pixels` in all are forwarded together, or fewer or in tiles where that takes more than
    `max_bytes` (None: the default of `BoundedForward`).
    """

    def __init__(
        self,
        name: str,
        network: AnchorNetwork,
        device: str | torch.device = "cpu",
        max_batch_pixels: int = 1 << 22,
        max_bytes: int | None = None,
    ) -> None:
        self.name = name
        self.device = torch.device(device)
        self.network = placed(network, self.device).eval()
        self._max_batch_pixels = max_batch_pixels
        self._forward = BoundedForward(self.network, self.device, max_bytes)

    def autocast(self, precision: Precision) -> None:
        """Compute convolutions in this precision from now on; their outputs are decoded in single precision.

        Memory is still estimated for single precision.
        """
        self._forward.autocast_to = None if precision == "float32" else getattr(torch, precision)

    def candidates(self, images: Sequence[UInt8[np.ndarray, "_ _ 3"]]) -> list[ScoredBoxes]:
        """Each image's candidates, best first: its decoded priors, at most 5000, even at confidence 0.

        Images are RGB. Rows are `x1 y1 x2 y2 confidence` in pixels of the image, not clipped to it; equal
        confidences keep the order of the priors. Images of the same size share a forward pass, which does not
        change the result.

        Raises ValueError for an image without pixels or not uint8 [H, W, 3], and when the network's answer
        is not finite (damaged weights).
        """
        return [found[:, :5] for found in self._found(images, num_landmarks=0)]

    def candidates_resized(
        self, images: Sequence[UInt8[np.ndarray, "_ _ 3"]], height: int, width: int
    ) -> list[ScoredBoxes]:
        """The candidates of each image enlarged to `height` x `width`, in pixels of the enlarged image.

        Images go to the device at their own size and are enlarged there: bilinear, half-pixel centres, rounded
        to 8 bits; within one grey level of OpenCV. Raises ValueError as `candidates` does.
        """
        return [found[:, :5] for found in self._found(images, num_landmarks=0, size=(height, width))]

    def candidates_with_landmarks(
        self, images: Sequence[UInt8[np.ndarray, "_ _ 3"]]
    ) -> list[tuple[Float32[np.ndarray, "n 5"], Float32[np.ndarray, "n 5 2"]]]:
        """The candidates of each image, as from `candidates`, with five landmarks (x, y) each in its pixels.

        The landmarks are the left eye, right eye, nose, and left and right corners of the mouth, as seen in the
        image.
        Raises ValueError as `candidates` does, and when the network has no landmarks.
        """
        found = self._found(images, _NUM_LANDMARKS)
        return [(rows[:, :5], rows[:, 5:].reshape(-1, _NUM_LANDMARKS, 2)) for rows in found]

    def _found(
        self, images: Sequence[np.ndarray], num_landmarks: int, size: tuple[int, int] | None = None
    ) -> list[Float32[np.ndarray, "_ _"]]:
        by_size: dict[tuple[int, ...], list[int]] = {}
        for i, image in enumerate(images):
            if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
                raise ValueError(
                    f"image {i} of the batch is {image.dtype} {list(image.shape)}: a detector "
                    "needs uint8 [height, width, 3] RGB with at least one pixel"
                )
            by_size.setdefault(image.shape, []).append(i)
        results: dict[int, Float32[np.ndarray, "_ _"]] = {}
        for (*own_size, _), members in by_size.items():
            step = max(1, self._max_batch_pixels // prod(size or own_size))
            for start in range(0, len(members), step):
                part = members[start : start + step]
                batch = np.stack([images[i] for i in part])
                results.update(zip(part, self._same_size(batch, num_landmarks, size), strict=True))
        return [results[i] for i in range(len(images))]

    @torch.inference_mode()
    def _same_size(
        self,
        images: UInt8[np.ndarray, "batch _ _ 3"],
        num_landmarks: int,
        size: tuple[int, int] | None,
    ) -> list[Float32[np.ndarray, "_ _"]]:
        """Rows `x1 y1 x2 y2 confidence`, then x and y of each landmark, for images enlarged to `size`."""
        shown = torch.from_numpy(images).to(self.device)
        if size is not None:
            shown = _enlarged(shown, *size)
        height, width = shown.shape[1:3]
        offsets, classes, *others = self._forward(shown)
        order = _best(classes[..., 1])
        confidences = classes[..., 1].gather(1, order)
        priors = cached_priors(height, width, self.network.layout, self.device)[order]
        scale = offsets.new_tensor([width, height])
        boxes = decode_boxes(_taken(offsets, order), priors) * scale.repeat(2)
        parts = [boxes, confidences[..., None]]
        if num_landmarks:
            if not others:
                raise ValueError(f"the network of {self.name} has no landmarks: those of RetinaFace have")
            points = _taken(others[0], order).reshape(*order.shape, num_landmarks, 2)
            parts.append((decode_points(points, priors) * scale).flatten(2))
        found = torch.cat(parts, dim=-1)
        if not bool(found.isfinite().all()):
            raise ValueError(
                f"the network of {self.name} gave values that are not finite for an image of "
                f"{width} x {height} pixels: its weights are damaged or belong to another network"
            )
        return list(found.cpu().numpy())


def placed(network: AnchorNetwork, device: torch.device) -> AnchorNetwork:
    """The network on a device, its convolutions laid out channels last, which is faster on CPUs."""
    # Module.to documents memory_format, but its stubs lack it
    moved: AnchorNetwork = network.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return moved


def _enlarged(
    images: UInt8[Tensor, "batch _ _ 3"], height: int, width: int
) -> UInt8[Tensor, "batch height width 3"]:
    """The images enlarged, one at a time so that few pixels are held as 4-byte numbers at once."""
    enlarged = images.new_empty((len(images), height, width, 3))
    for image, target in zip(images, enlarged, strict=True):
        planes = image.permute(2, 0, 1)[None].float()
        target.copy_(
            F.interpolate(planes, size=(height, width), mode="bilinear")[0].round_().permute(1, 2, 0)
        )
    return enlarged


def _best(confidences: Float[Tensor, "batch prior"]) -> Int64[Tensor, "batch kept"]:
    """The 5000 most confident priors of each image, best first; equal ones, and what is not a number, in order."""
    orders = []
    for one in confidences:
        least = one.topk(min(MAX_CANDIDATES, len(one)), sorted=False).values.min()
        near = (~(one < least)).nonzero()[
            :, 0
        ]  # sorting these few is exact, and for 8K spares sorting a million
        orders.append(near[one[near].argsort(descending=True, stable=True)[:MAX_CANDIDATES]])
    return torch.stack(orders)


def _taken(
    values: Float[Tensor, "batch prior value"], order: Int64[Tensor, "batch kept"]
) -> Float[Tensor, "batch kept value"]:
    return values.gather(1, order[..., None].expand(-1, -1, values.shape[-1]))


def create_detector(name: str, weights: Path | None, device: str) -> NetworkDetector:
    """A detector of `NETWORKS` with the weights of a file, or with random weights for None.

    Raises ValueError when the file does not fit.
    """
    network = NETWORKS[name]()
    if weights is not None:
        load_network(network, weights, name)
    return NetworkDetector(name, network, device)
