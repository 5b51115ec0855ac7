"""What a per-box ranker sees of a box in the picture: features that it learns, or what a face detector says there."""

from abc import abstractmethod

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from crface.ranker.per_box.samples import GRIDS, BoxSampler, grid_points, read_points
from crface.ranker.per_box.trunk import CHANNELS, STRIDES, Trunk

_PRIORS_PER_CELL = 2
_USUAL_LOGIT = 4.0


class Sight(nn.Module):
    """Read a picture once, then any boxes from what was read; `trunk` is what reads it."""

    trunk: Trunk

    @abstractmethod
    def maps(self, images: Float[Tensor, "image 3 height width"]) -> list[Float[Tensor, "image channel _ _"]]:
        """Give one map per stride, finest first."""

    @abstractmethod
    def read(
        self, maps: list[Float[Tensor, "image channel _ _"]], boxes_xywh: Float[Tensor, "image box 4"]
    ) -> Float[Tensor, "image box feature"]:
        """Give the features of boxes in pixels of the picture."""


class Look(Sight):
    """The trunk's own features, and the trunk is trained along: sees most, and learns what its pictures are like."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.trunk = Trunk()
        self.sampler = BoxSampler(width)

    def maps(self, images: Float[Tensor, "image 3 height width"]) -> list[Float[Tensor, "image channel _ _"]]:
        """Give 64 channels at each stride."""
        levels: list[Tensor] = self.trunk(images)
        return levels

    def read(
        self, maps: list[Float[Tensor, "image channel _ _"]], boxes_xywh: Float[Tensor, "image box 4"]
    ) -> Float[Tensor, "image box feature"]:
        """Sample the maps at both grids of each box."""
        features: Tensor = self.sampler(maps, boxes_xywh)
        return features


class Opinion(Sight):
    """How sure a trained face detector is at each point of a box: the class logits of its six priors, no more.

    The detector is a RetinaFace whose weights never change, batch statistics included: it knows more pictures than
    a ranker is ever trained on, and what the ranker learns is only how far to believe it. Read at the grids of
    `crface.ranker.per_box.samples`, in all three maps.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.trunk = Trunk()
        self.ClassHead = nn.ModuleList(_ClassHead() for _ in STRIDES)
        for part in (self.trunk, self.ClassHead):
            part.requires_grad_(False)
        num_points = sum(side * side for side, _ in GRIDS)
        self.project = nn.Linear(len(STRIDES) * num_points * _PRIORS_PER_CELL, width)

    def train(self, mode: bool = True) -> "Opinion":
        """Set the mode of what is trained; the detector is always in evaluation mode."""
        super().train(mode)
        self.trunk.eval()
        return self

    @torch.no_grad()
    def maps(self, images: Float[Tensor, "image 3 height width"]) -> list[Float[Tensor, "image channel _ _"]]:
        """Give the logits of "a face" of both priors of every cell, divided by 4."""
        levels = self.trunk(images)
        return [head(level) / _USUAL_LOGIT for head, level in zip(self.ClassHead, levels, strict=True)]

    def read(
        self, maps: list[Float[Tensor, "image channel _ _"]], boxes_xywh: Float[Tensor, "image box 4"]
    ) -> Float[Tensor, "image box feature"]:
        """Read the logits at both grids of each box, 0 outside of the picture."""
        points = grid_points(boxes_xywh)
        logits = [read_points(level, points, stride) for level, stride in zip(maps, STRIDES, strict=True)]
        features: Tensor = F.relu(self.project(torch.cat(logits, dim=2)))
        return features


class _ClassHead(nn.Module):
    """RetinaFace's class head under its own key; (not face, face) for each prior, as one logit."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1x1 = nn.Conv2d(CHANNELS, 2 * _PRIORS_PER_CELL, 1)

    def forward(self, level: Float[Tensor, "image channel _ _"]) -> Float[Tensor, "image prior _ _"]:
        scores = self.conv1x1(level)
        logits: Tensor = scores[:, 1::2] - scores[:, 0::2]
        return logits
