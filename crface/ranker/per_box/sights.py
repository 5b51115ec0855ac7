"""What a per-box ranker sees of a box in the picture: features that it learns, or what a face detector says there."""

from abc import ABC, abstractmethod
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from crface.backbones import MobileNetV1
from crface.ranker.interface import StartingWeights
from crface.ranker.per_box.samples import NUM_POINTS, BoxSampler, read_boxes
from crface.ranker.per_box.trunk import CHANNELS, STRIDES, Trunk
from crface.tensor_shapes import PictureBatch

_PRIORS_PER_CELL = 2
_USUAL_LOGIT = 4.0
_OTHER_HEADS = ("BboxHead.", "LandmarkHead.")


class Sight(nn.Module, ABC):
    """A picture read once, by the `trunk`, and then any number of boxes from its maps."""

    trunk: Trunk

    @abstractmethod
    def maps(self, images: PictureBatch) -> list[Float[Tensor, "image channel _ _"]]:
        """One map per stride, finest first."""

    @abstractmethod
    def read(
        self, maps: list[Float[Tensor, "image channel _ _"]], boxes_xywh: Float[Tensor, "image box 4"]
    ) -> Float[Tensor, "image box feature"]:
        """Features of boxes, which are given in pixels of the picture."""

    @abstractmethod
    def classifier_part(self) -> MobileNetV1 | None:
        """The backbone that can start from an ImageNet classifier; None where a classifier is not enough."""

    @abstractmethod
    def detector_part(self, state: Mapping[str, Tensor]) -> StartingWeights:
        """The part that can start from a RetinaFace checkpoint `state`."""


class Look(Sight):
    """The trunk's own features, with the trunk trained too: sees most, and learns what its pictures are like."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.trunk = Trunk()
        self.sampler = BoxSampler(width)

    def maps(self, images: PictureBatch) -> list[Float[Tensor, "image channel _ _"]]:
        """The trunk's maps, as they are read: 32 channels at each stride."""
        return self.sampler.squeezed(self.trunk(images))

    def read(
        self, maps: list[Float[Tensor, "image channel _ _"]], boxes_xywh: Float[Tensor, "image box 4"]
    ) -> Float[Tensor, "image box feature"]:
        """The maps sampled at both grids of each box."""
        features: Tensor = self.sampler(maps, boxes_xywh)
        return features

    def classifier_part(self) -> MobileNetV1:
        """The trunk's backbone."""
        return self.trunk.body

    def detector_part(self, state: Mapping[str, Tensor]) -> StartingWeights:
        """The whole trunk: all of the detector but its heads."""
        tensors = {key: value for key, value in state.items() if not key.partition(".")[0].endswith("Head")}
        words = "the backbone, pyramid and context modules of a detector"
        return StartingWeights(self.trunk, tensors, words)


class Opinion(Sight):
    """How sure a trained face detector is at each point of a box: the class logits of its six priors, no more.

    The detector is a RetinaFace whose weights never change, batch statistics included: it has seen more pictures than
    a ranker is ever trained on, and the ranker learns only how far to believe it. Logits are read at the grids of
    `crface.ranker.per_box.samples`, in all three maps.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.trunk = Trunk()
        self.ClassHead = nn.ModuleList(_ClassHead() for _ in STRIDES)
        for part in (self.trunk, self.ClassHead):
            part.requires_grad_(False)
        self.project = nn.Linear(len(STRIDES) * NUM_POINTS * _PRIORS_PER_CELL, width)

    def train(self, mode: bool = True) -> "Opinion":
        """Set the mode of the trained layers; the detector stays in evaluation mode."""
        super().train(mode)
        self.trunk.eval()
        return self

    @torch.no_grad()
    def maps(self, images: PictureBatch) -> list[Float[Tensor, "image channel _ _"]]:
        """The logits of "a face" of both priors of every cell, divided by 4."""
        levels = self.trunk(images)
        return [head(level) / _USUAL_LOGIT for head, level in zip(self.ClassHead, levels, strict=True)]

    def read(
        self, maps: list[Float[Tensor, "image channel _ _"]], boxes_xywh: Float[Tensor, "image box 4"]
    ) -> Float[Tensor, "image box feature"]:
        """Features from the logits at both grids of each box, which are 0 outside the picture."""
        features: Tensor = F.relu(self.project(read_boxes(maps, boxes_xywh)))
        return features

    def classifier_part(self) -> None:
        """No part: a classifier has no opinion on faces."""

    def detector_part(self, state: Mapping[str, Tensor]) -> StartingWeights:
        """The trunk and the class heads; the layer that is trained keeps its weights."""
        tensors = {
            key if key.startswith("ClassHead.") else f"trunk.{key}": value
            for key, value in state.items()
            if not key.startswith(_OTHER_HEADS)
        }
        tensors |= {key: value for key, value in self.state_dict().items() if key.startswith("project.")}
        return StartingWeights(
            self, tensors, "the whole of a detector but what it says of boxes and landmarks"
        )


class _ClassHead(nn.Module):
    """RetinaFace's class head under its own key: (not face, face) of each prior as one logit."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1x1 = nn.Conv2d(CHANNELS, 2 * _PRIORS_PER_CELL, 1)

    def forward(self, level: Float[Tensor, "image channel _ _"]) -> Float[Tensor, "image prior _ _"]:
        scores = self.conv1x1(level)
        logits: Tensor = scores[:, 1::2] - scores[:, 0::2]
        return logits
