"""RetinaFace (Deng et al. 2019): the network, with the adapter that turns its output into candidates.

The network has the keys of the published PyTorch checkpoints, so they load as they are.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Float32, UInt8
from torch import Tensor, nn

from crface.backbones import MobileNetV1, mobilenet_v1
from detectors.base import MAX_CANDIDATES
from detectors.priors import PRIOR_SIDES_PX, cached_priors, decode_boxes
from detectors.weights import load_network

MEAN_RGB = (123.0, 117.0, 104.0)
"""Subtracted from the channels of an image, which the network then takes as BGR."""

_PYRAMID_CHANNELS = 64
_PRIORS_PER_CELL = len(PRIOR_SIDES_PX[0])
_FACE_PROBABILITY = 0.01  # what the class heads answer everywhere at the start of training


class RetinaFace(nn.Module):
    """Give (box offsets, class logits or probabilities, landmark offsets) of each prior, finest stride first.

    The class outputs (not face, face) are logits in training mode, probabilities in evaluation mode. Box
    and landmark offsets are relative to the priors of `detectors.priors`. Landmarks of weights that were
    trained without them mean nothing.
    """

    def __init__(self, body: MobileNetV1) -> None:
        super().__init__()
        self.body = body
        self.fpn = _FeaturePyramid(body.channels, _PYRAMID_CHANNELS)
        self.ssh1 = _Context(_PYRAMID_CHANNELS)
        self.ssh2 = _Context(_PYRAMID_CHANNELS)
        self.ssh3 = _Context(_PYRAMID_CHANNELS)
        self.ClassHead = nn.ModuleList(_Head(2) for _ in body.channels)
        self.BboxHead = nn.ModuleList(_Head(4) for _ in body.channels)
        self.LandmarkHead = nn.ModuleList(_Head(10) for _ in body.channels)
        self.initialise()

    def forward(
        self, x: Float[Tensor, "batch 3 height width"]
    ) -> tuple[
        Float[Tensor, "batch prior 4"], Float[Tensor, "batch prior 2"], Float[Tensor, "batch prior 10"]
    ]:
        """Run on BGR images of any size from one pixel, 0..255 minus the mean (`to_input`)."""
        pyramid = self.fpn(self.body(x))
        features = [ssh(level) for ssh, level in zip((self.ssh1, self.ssh2, self.ssh3), pyramid, strict=True)]
        boxes, classes, landmarks = (
            torch.cat([head(feature) for head, feature in zip(heads, features, strict=True)], dim=1)
            for heads in (self.BboxHead, self.ClassHead, self.LandmarkHead)
        )
        return boxes, classes if self.training else F.softmax(classes, dim=-1), landmarks

    def initialise(self) -> None:
        """Draw random weights from the global generator: a calm start in which nothing is a face."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(
                    module.weight, a=0.1, mode="fan_out" if module.groups == 1 else "fan_in"
                )
        for heads in (self.ClassHead, self.BboxHead, self.LandmarkHead):
            for head in heads.modules():
                if isinstance(head, nn.Conv2d) and head.bias is not None:
                    nn.init.normal_(head.weight, std=0.01)
                    nn.init.zeros_(head.bias)
        # A start where everything is a face would drown the first hundred steps in the loss of the negatives.
        for head in self.ClassHead.modules():
            if isinstance(head, nn.Conv2d) and head.bias is not None:
                with torch.no_grad():
                    head.bias[0::2] = float(np.log((1 - _FACE_PROBABILITY) / _FACE_PROBABILITY))


class RetinaFaceDetector:
    """Candidates of a RetinaFace network: the `detectors.Detector` that the pipeline calls.

    `network` is the bare network in evaluation mode; `name` is the name that results are filed under.
    """

    def __init__(
        self,
        name: str,
        network: RetinaFace,
        device: str | torch.device = "cpu",
        max_batch_pixels: int = 1 << 22,
    ) -> None:
        self.name = name
        self.device = torch.device(device)
        self.network = placed(network, self.device).eval()
        self._max_batch_pixels = max_batch_pixels

    def candidates(self, images: Sequence[UInt8[np.ndarray, "_ _ 3"]]) -> list[Float32[np.ndarray, "_ 5"]]:
        """Give each image's candidates, best first: its priors, decoded, at most 5000, even at score 0.

        Images are RGB. Rows are `x1 y1 x2 y2 confidence` in pixels of the image, not clipped to it; equal
        confidences stay in the order of the priors. Images of equal size share a forward pass, which does
        not change the result.

        Raises ValueError for an image without pixels or not uint8 [H, W, 3], and when the network's answer
        is not finite (damaged weights).
        """
        by_size: dict[tuple[int, ...], list[int]] = {}
        for i, image in enumerate(images):
            if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
                raise ValueError(
                    f"image {i} of the batch is {image.dtype} {list(image.shape)}: a detector "
                    "needs uint8 [height, width, 3] RGB with at least one pixel"
                )
            by_size.setdefault(image.shape, []).append(i)
        results: dict[int, Float32[np.ndarray, "_ 5"]] = {}
        for (height, width, _), members in by_size.items():
            step = max(1, self._max_batch_pixels // (height * width))
            for start in range(0, len(members), step):
                part = members[start : start + step]
                results.update(zip(part, self._same_size(np.stack([images[i] for i in part])), strict=True))
        return [results[i] for i in range(len(images))]

    @torch.inference_mode()
    def _same_size(
        self, images: UInt8[np.ndarray, "batch height width 3"]
    ) -> list[Float32[np.ndarray, "_ 5"]]:
        height, width = images.shape[1:3]
        offsets, classes, _ = self.network(to_input(torch.from_numpy(images).to(self.device)))
        confidences, order = classes[..., 1].sort(dim=1, descending=True, stable=True)
        confidences, order = confidences[:, :MAX_CANDIDATES], order[:, :MAX_CANDIDATES]
        priors = cached_priors(height, width, self.device)[order]
        boxes = decode_boxes(offsets.gather(1, order[..., None].expand(-1, -1, 4)), priors)
        boxes = boxes * boxes.new_tensor([width, height, width, height])
        found = torch.cat([boxes, confidences[..., None]], dim=-1)
        if not bool(found.isfinite().all()):
            raise ValueError(
                f"the network of {self.name} gave values that are not finite for an image of "
                f"{width} x {height} pixels: its weights are damaged or belong to another network"
            )
        return list(found.cpu().numpy())


def placed(network: RetinaFace, device: torch.device) -> RetinaFace:
    """Move a network to a device, its convolutions laid out channels last: faster on CPUs."""
    # the stubs of Module.to do not know memory_format, its documentation does
    moved: RetinaFace = network.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return moved


def to_input(images: UInt8[Tensor, "batch height width 3"]) -> Float[Tensor, "batch 3 height width"]:
    """Turn RGB images into the network's input: BGR, mean subtracted, channels last in memory."""
    shifted = images.flip(-1).float() - torch.tensor(MEAN_RGB[::-1], device=images.device)
    return shifted.permute(0, 3, 1, 2)


def mobilenet025() -> RetinaFace:
    """Make the RetinaFace network with the mobilenet0.25 trunk (0.43 million parameters), random weights."""
    return RetinaFace(mobilenet_v1(width=0.25))


def create_mobilenet025(weights: Path | None, device: str) -> RetinaFaceDetector:
    """Make the detector from a weights file, or with random weights for None.

    Raises ValueError when the file does not fit.
    """
    network = mobilenet025()
    if weights is not None:
        load_network(network, weights, "retinaface-mobilenet0.25")
    return RetinaFaceDetector("retinaface-mobilenet0.25", network, device)


class _FeaturePyramid(nn.Module):
    """Lateral 1 x 1 convolutions, coarser maps added from above, 3 x 3 merges (Lin et al. 2017)."""

    def __init__(self, channels: tuple[int, int, int], num_out: int) -> None:
        super().__init__()
        self.output1 = _conv(channels[0], num_out, kernel=1)
        self.output2 = _conv(channels[1], num_out, kernel=1)
        self.output3 = _conv(channels[2], num_out, kernel=1)
        self.merge1 = _conv(num_out, num_out)
        self.merge2 = _conv(num_out, num_out)

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        fine, middle, coarse = self.output1(maps[0]), self.output2(maps[1]), self.output3(maps[2])
        middle = self.merge2(middle + _resized(coarse, like=middle))
        fine = self.merge1(fine + _resized(middle, like=fine))
        return [fine, middle, coarse]


class _Context(nn.Module):
    """The context module of SSH (Najibi et al. 2017, section 3.2): fields of 3, 5 and 7 cells, joined."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        half, quarter = channels // 2, channels // 4
        self.conv3X3 = _conv(channels, half, is_activated=False)
        self.conv5X5_1 = _conv(channels, quarter)
        self.conv5X5_2 = _conv(quarter, quarter, is_activated=False)
        self.conv7X7_2 = _conv(quarter, quarter)
        self.conv7x7_3 = _conv(quarter, quarter, is_activated=False)

    def forward(self, x: Tensor) -> Tensor:
        shared = self.conv5X5_1(x)
        parts = [self.conv3X3(x), self.conv5X5_2(shared), self.conv7x7_3(self.conv7X7_2(shared))]
        return F.relu(torch.cat(parts, dim=1))


class _Head(nn.Module):
    """One 1 x 1 convolution that gives `num_values` for each prior, rows in the order of the priors."""

    def __init__(self, num_values: int) -> None:
        super().__init__()
        self._num_values = num_values
        self.conv1x1 = nn.Conv2d(_PYRAMID_CHANNELS, _PRIORS_PER_CELL * num_values, 1)

    def forward(self, x: Tensor) -> Tensor:
        cells: Tensor = self.conv1x1(x)
        return cells.permute(0, 2, 3, 1).reshape(len(x), -1, self._num_values)


def _conv(num_in: int, num_out: int, kernel: int = 3, is_activated: bool = True) -> nn.Sequential:
    layers: list[nn.Module] = [
        nn.Conv2d(num_in, num_out, kernel, padding=kernel // 2, bias=False),
        nn.BatchNorm2d(num_out),
    ]
    if is_activated:
        layers.append(
            nn.LeakyReLU(0.1, inplace=True)
        )  # the published pyramids of 64 channels or fewer leak, wider ones do not
    return nn.Sequential(*layers)


def _resized(x: Tensor, like: Tensor) -> Tensor:
    return F.interpolate(x, size=like.shape[-2:], mode="nearest")
