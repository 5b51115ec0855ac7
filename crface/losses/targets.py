"""What a batch of refined confidences is compared with."""

from dataclasses import dataclass
from typing import Literal

from jaxtyping import Bool, Int64
from torch import Tensor

from crface.tensor_shapes import ScoreBatch

Scale = Literal["confidence", "logit"]
"""What a ranker's scores are: confidences as the detector gives them, about 0..1, or their logits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Targets:
    """What is known of every candidate of a batch; a row is an image, in order of predicted confidence.

    The whole batch is here at once, so that a loss may compare boxes of different images.
    """

    predicted: ScoreBatch
    """The detector's confidence, 0..1, highest first."""
    oracle: ScoreBatch
    """IoU with the closest face of the image, 0..1 (paper 3.1)."""
    face: Int64[Tensor, "image box"]
    """Which face of its image that is; -1 where the box overlaps none."""
    is_box: Bool[Tensor, "image box"]
    """False for padding, which no loss looks at."""
