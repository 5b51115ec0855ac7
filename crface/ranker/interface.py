"""What every confidence ranker is, whatever network is inside."""

from abc import abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Float32
from torch import Tensor, nn

from crface.losses.targets import Scale

OutputRange = Literal["clipped", "scaled"]
"""How the paper's rankers keep refined confidences in 0..1: the paper's clip, or one linear map for all images."""


class Ranker(nn.Module):
    """A network that refines the confidences of an image's candidates.

    `name` says which one it is and `scale` what its scores are; `num_candidates` is the number of rows that a
    training example has, and `image_side_px` the long side that pictures are scaled to.
    """

    name: str
    scale: Scale
    num_candidates: int
    image_side_px: int
    output_range: OutputRange

    @abstractmethod
    def forward(
        self,
        images: Float[Tensor, "image 3 height width"],
        rows: Float[Tensor, "image box 5"],
        sizes: Float[Tensor, "image 2"],
    ) -> Float[Tensor, "image box"]:
        """Give the scores of a batch that losses compare; 0 for padding, which is rows of zeros.

        `images` as `inputs.to_tensor` makes them, each with its picture of width and height `sizes` in the
        upper left corner; `rows` as `inputs.relative_rows` does.
        """

    @abstractmethod
    def confidences(
        self,
        images: Float[Tensor, "image 3 height width"],
        rows: Float[Tensor, "image box 5"],
        sizes: Float[Tensor, "image 2"],
    ) -> Float[Tensor, "image box"]:
        """Give the refined confidences of a batch in 0..1, 0 for padding: what `refine` gives, within a rounding.

        Takes what `forward` takes, and is tensors throughout: it is what an ONNX file holds.
        """

    @abstractmethod
    def refine(self, image: np.ndarray, candidates: np.ndarray) -> Float32[np.ndarray, " candidate"]:
        """Give each candidate's refined confidence in 0..1, in the order of `candidates`; empty for none.

        `image` is uint8 [H, W, 3] RGB of any size (checked by `check_input` rather than by the signature, to
        say it in words); `candidates` [N, 5] are `x1 y1 x2 y2 confidence` in its pixels, in any order; rows
        that are zero throughout are padding and get 0.

        Runs in evaluation mode, whatever mode the network is in. Raises ValueError for other shapes or values
        that are not finite.
        """


def is_box_row(rows: Float[Tensor, "image box 5"]) -> Tensor:
    """Tell boxes from padding: a padding row is zero throughout."""
    return (rows != 0).any(dim=-1)


@contextmanager
def evaluating(model: nn.Module) -> Iterator[torch.device]:
    """Put a network into evaluation mode without gradients, then back; gives the device that it is on."""
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            yield next(model.parameters()).device
    finally:
        model.train(was_training)


def check_input(image: np.ndarray, candidates: np.ndarray) -> None:
    """Raise ValueError, in words, unless an image and its candidates are what `refine` takes."""
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or image.size == 0:
        raise ValueError(
            f"the image is {image.dtype} {list(image.shape)}; uint8 [height, width, 3] RGB is needed"
        )
    if candidates.ndim != 2 or candidates.shape[1] != 5:
        raise ValueError(
            f"the candidates are {list(candidates.shape)}; [N, 5] is needed: x1 y1 x2 y2 confidence"
        )
    if not np.isfinite(candidates).all():
        raise ValueError("the candidates hold values that are not finite")
