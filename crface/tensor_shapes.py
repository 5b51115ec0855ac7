"""Names of the tensor shapes that many signatures share. A dimension has one size within a call."""

from jaxtyping import Float
from torch import Tensor

PictureBatch = Float[Tensor, "image 3 height width"]
"""Pictures as `crface.ranker.inputs.to_tensor` makes them, or a detector's own preparation."""

SizeBatch = Float[Tensor, "image 2"]
"""Width and height of what each picture of a batch shows, in pixels."""

RowBatch = Float[Tensor, "image box number"]
"""Candidates of a batch: x, y, width, height in shares of the picture, and confidence; zeros are padding. More columns
follow only where other detectors are asked (`crface.ranker.opinions`)."""

ScoreBatch = Float[Tensor, "image box"]
"""A number for each box of a batch."""
