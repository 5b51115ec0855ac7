"""Which candidates of an image are compared with which: the n-pair selection of paper section 3.2.

Rows are in the order of *predicted* confidence, highest first, as candidates are stored. "We select the pair
by sorting the predicted confidences in descending order and pick the neighbor pair [...] We add n-pair to the
original neighbor pair by skipping n confidences and divide the loss by n, for example, 2-pairs are the
neighbor pair and the odd and even pair." Read here as: distance 1 pairs each row with the next one (the
neighbours), distance 2 with the one after it (odd rows with odd ones, even with even), and so on up to
distance n; the loss of a pair at distance k is divided by k. The other reading, one division of the whole sum
by n, scales the loss and leaves its minimum where it is, so it would say nothing about the trade between hard
(near) and easy (far) pairs that Table 2 is about.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from jaxtyping import Bool, Float
from torch import Tensor

from crface.tensor_shapes import ScoreBatch


@dataclass(frozen=True, slots=True)
class Pairs:
    """All pairs at one distance, in every image of a batch; column j pairs row j with row j + distance."""

    refined_difference: Float[Tensor, "image pair"]
    """c'_1 - c'_2: refined confidence of the row that was predicted higher minus that of the other."""

    oracle_difference: Float[Tensor, "image pair"]
    """The same difference of oracle confidences: its sign is the order that the pair should have, 0 a tie."""

    is_pair: Bool[Tensor, "image pair"]
    """Both rows are boxes; a pair that touches padding is none."""

    weight: float
    """1 / distance."""


def n_pairs(
    refined: ScoreBatch,
    oracle: ScoreBatch,
    is_box: Bool[Tensor, "image box"],
    num_pairs: int,
) -> Iterator[Pairs]:
    """Yield the pairs at distances 1, 2, ... `num_pairs`; nothing for images of fewer than two rows.

    Rows are sorted by predicted confidence, highest first. Distances that no two rows have are left out.
    Raises ValueError when `num_pairs` is below 1. Paper: section 3.2, Table 2.
    """
    if num_pairs < 1:
        raise ValueError(f"num_pairs is {num_pairs}; pairs need a distance of 1 at least")
    for distance in range(1, min(num_pairs, refined.shape[1] - 1) + 1):
        yield Pairs(
            refined_difference=refined[:, :-distance] - refined[:, distance:],
            oracle_difference=oracle[:, :-distance] - oracle[:, distance:],
            is_pair=is_box[:, :-distance] & is_box[:, distance:],
            weight=1.0 / distance,
        )
