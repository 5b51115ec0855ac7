"""The interface of every confidence ranker, whatever network is inside."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Float32
from torch import Tensor, nn

from crface.backbones import MobileNetV1, ResNet
from crface.losses.targets import Scale
from crface.ranker.gate import Gate
from crface.ranker.home import Home
from crface.ranker.inputs import scaled_size
from crface.ranker.opinions import num_columns
from crface.tensor_shapes import PictureBatch, RowBatch, ScoreBatch, SizeBatch

OutputRange = Literal["clipped", "scaled"]
"""How the paper's rankers keep refined confidences in 0..1: the paper's clip, or one linear map for all images."""


@dataclass(frozen=True, slots=True)
class StartingWeights:
    """The part of a ranker that a checkpoint fills, and the tensors for it."""

    module: nn.Module
    """The part of the ranker."""
    tensors: Mapping[str, Tensor]
    """What the checkpoint holds for it, under the part's own keys; not yet checked."""
    words: str
    """What is taken over, as a user reads it."""


class Ranker(nn.Module, ABC):
    """A network that refines the confidences of an image's candidates.

    `name` is the one it is created by and `scale` the unit of its scores; `num_candidates` is the number of rows in a
    training example, and `image_side_px` the long side that pictures are scaled to.
    """

    name: str
    scale: Scale
    num_candidates: int
    image_side_px: int
    gate: Gate | None
    """How much of the refinement is used; None: all of it."""
    home: Home | None
    """The pictures that it was trained on, to compare others with; None: not known, as in older files."""
    smallest_side_px: float = 0.0
    """Boxes with a smaller side (the square root of their area) in its pictures keep the detector's confidence: it was
    trained on hardly any."""
    opinions: tuple[str, ...] = ()
    """Names of the detectors whose opinions it reads beside each box; candidates then come from
    `crface.ranker.opinions.with_opinions`, in this order."""

    def __init__(self) -> None:
        super().__init__()
        # here, not as defaults of the class: those would hide the modules
        self.gate = None
        self.home = None

    @abstractmethod
    def forward(
        self,
        images: PictureBatch,
        rows: RowBatch,
        sizes: SizeBatch,
    ) -> ScoreBatch:
        """Scores of a batch, for losses to compare; 0 for padding, which is rows of zeros.

        `images` come from `inputs.to_tensor`, each with its picture of width and height `sizes` in the upper left
        corner; `rows` from `inputs.relative_rows`.
        """

    def confidences(
        self,
        images: PictureBatch,
        rows: RowBatch,
        sizes: SizeBatch,
    ) -> ScoreBatch:
        """Refined confidences of a batch in 0..1, 0 for padding: those of `refine`, within a rounding.

        Takes what `forward` takes, and works on tensors throughout: an ONNX file holds this.
        """
        refined = self.all_confidences(images, rows, sizes)
        if self.gate is not None:
            refined = self.gate(rows[..., 4], refined) * is_box_row(rows)
        if self.smallest_side_px == 0:
            return refined
        area_px = rows[..., 2] * rows[..., 3] * (sizes[:, 0] * sizes[:, 1])[:, None]
        return torch.where(area_px < self.smallest_side_px**2, rows[..., 4], refined)

    def refine(
        self, image: np.ndarray, candidates: np.ndarray, trust: float = 1.0, above: float = -1.0
    ) -> Float32[np.ndarray, " candidate"]:
        """Refined confidence of each candidate in 0..1, in the order of `candidates`; empty without candidates.

        `trust` is how far the ranker is believed on these pictures, 0..1: with 0 the confidences are the detector's.
        Boxes too small for the ranker keep theirs (`smallest_side_px`), and candidates of a confidence up to `above`.
        An evaluation's score threshold there spares the work on boxes that cannot become detections, most of 5000; the
        others come out as without it, but for rounding.
        `image` is uint8 [H, W, 3] RGB of any size (checked by `check_input` rather than by the signature, for a
        readable message); `candidates` [N, 5] are `x1 y1 x2 y2 confidence` in its pixels, in any order, with the
        columns of `opinions` where the ranker has any; rows that are zero throughout are padding and get 0.

        Runs in evaluation mode, whatever mode the network is in. Raises ValueError for other shapes or values
        that are not finite.
        """
        check_input(image, candidates, len(self.opinions))
        predicted = candidates[:, 4].astype(np.float32)
        gate = self.gate or Gate()
        if trust == 0 or float(gate.share) == 0:
            return predicted
        decides = self.decides(candidates, above)
        refined = self.refine_all(image, candidates[decides])
        found = gate.cpu()(
            torch.from_numpy(predicted[decides]).double(), torch.from_numpy(refined).double(), trust
        )
        used: np.ndarray = predicted.copy()
        used[decides] = found.numpy()
        used[(candidates == 0).all(axis=1)] = 0  # padding
        return np.where((predicted > above) & ~self._is_too_small(image, candidates), used, predicted)

    def _is_too_small(self, image: np.ndarray, candidates: np.ndarray) -> Bool[np.ndarray, " candidate"]:
        if self.smallest_side_px == 0:
            return np.zeros(len(candidates), bool)
        height, width = image.shape[:2]
        width_px, height_px = scaled_size(width, height, self.image_side_px)
        sides = (candidates[:, 2:4] - candidates[:, :2]) * (width_px / width, height_px / height)
        too_small: np.ndarray = sides[:, 0] * sides[:, 1] < self.smallest_side_px**2
        return too_small

    def decides(
        self, candidates: Float32[np.ndarray, "candidate number"], above: float
    ) -> Bool[np.ndarray, " candidate"]:
        """Whether each candidate decides about the refined confidence of any that is above `above`.

        Those above do, and the `num_heard` most confident, with any that are as confident as the last of these.
        """
        predicted = candidates[:, 4]
        least = (
            -np.inf
            if len(predicted) <= self.num_heard
            else np.partition(predicted, -self.num_heard)[-self.num_heard]
        )
        return (predicted > above) | (predicted >= least)

    @property
    def looks_at_boxes(self) -> bool:
        """Whether it judges each box by its pixels, so that sizes it was not trained on are not its business."""
        return False

    @property
    def share_elsewhere(self) -> float:
        """The share of the refinement that may be used on pictures unlike those that it was trained on: none."""
        return 0.0

    @property
    def least_trust(self) -> float:
        """How far it is believed at least, on any pictures, 0..1: so far that `share_elsewhere` remains of it.

        All of what the gate lets through, where that is no more.
        """
        share = 1.0 if self.gate is None else float(self.gate.share)
        elsewhere = self.share_elsewhere
        return elsewhere / max(share, elsewhere) if elsewhere else 0.0

    @property
    @abstractmethod
    def num_heard(self) -> int:
        """How many of a picture's candidates, the most confident, count for the refined confidences of others."""

    @abstractmethod
    def all_confidences(self, images: PictureBatch, rows: RowBatch, sizes: SizeBatch) -> ScoreBatch:
        """`confidences` with the whole refinement, whatever the gate."""

    @abstractmethod
    def refine_all(self, image: np.ndarray, candidates: np.ndarray) -> Float32[np.ndarray, " candidate"]:
        """`refine` with the whole refinement, whatever the gate; the input is checked."""

    @abstractmethod
    def options(self) -> Mapping[str, object]:
        """What `crface.ranker.create` takes for this ranker besides N and the side of pictures."""

    @abstractmethod
    def classifier_part(self) -> MobileNetV1 | ResNet | None:
        """The backbone that can start from an ImageNet classifier; None in a ranker that needs a whole detector."""

    @abstractmethod
    def detector_part(self, state: Mapping[str, Tensor]) -> StartingWeights:
        """The part of this ranker that can start from a detector's checkpoint `state`."""

    @abstractmethod
    def observed_range(self) -> tuple[Tensor, Tensor] | None:
        """Lowest and highest score seen in training, updated in place; None in a ranker that keeps no range."""


def is_box_row(rows: RowBatch) -> Tensor:
    """Whether each row is a box; a padding row is zero throughout."""
    return (rows != 0).any(dim=-1)


@contextmanager
def evaluating(model: nn.Module) -> Iterator[torch.device]:
    """Evaluation mode without gradients for the length of a `with` block, which receives the network's device."""
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            yield next(model.parameters()).device
    finally:
        model.train(was_training)


def check_input(image: np.ndarray, candidates: np.ndarray, num_opinions: int) -> None:
    """Raise ValueError, in words, unless an image and its candidates are what `refine` takes."""
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or image.size == 0:
        raise ValueError(
            f"the image is {image.dtype} {list(image.shape)}; uint8 [height, width, 3] RGB is needed"
        )
    if candidates.ndim != 2 or candidates.shape[1] != num_columns(num_opinions):
        more = f", and those of {num_opinions} opinions (crface.ranker.opinions)" if num_opinions else ""
        raise ValueError(
            f"the candidates are {list(candidates.shape)}; [N, {num_columns(num_opinions)}] is needed: "
            f"x1 y1 x2 y2 confidence{more}"
        )
    if not np.isfinite(candidates).all():
        raise ValueError("the candidates hold values that are not finite")
