"""Losses that ask pairs of boxes of one image for the order of their oracle confidences (paper 3.2)."""

from typing import Literal

import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from crface.pairs import n_pairs
from crface.tensor_shapes import ScoreBatch

Ties = Literal["no order", "second first"]
"""What equal oracle confidences say: nothing, or (Eq. 1 as printed: `<=`) that the second row should lead."""


def rank_loss(
    refined: ScoreBatch,
    oracle: ScoreBatch,
    is_box: Bool[Tensor, "image box"],
    num_pairs: int = 10,
    ties: Ties = "no order",
) -> Float[Tensor, ""]:
    """Mean cross entropy of putting pairs in oracle order: log(2) if nothing is told apart, 0 without pairs.

    For a pair the loss is `softplus(-d)` if the first row should lead and `softplus(d)` if the second should,
    where `d = c'_1 - c'_2`; a pair at distance k weighs 1 / k (see `crface.pairs`), and the sum over the
    batch is divided by the sum of the weights, so its scale depends neither on N, nor on how much is padding,
    nor on `num_pairs`.

    Paper: Eq. 1 and 2, which cannot be meant as printed: Eq. 2 takes the logarithm of the label Y, which is 0
    or 1, and uses the difference of confidences as the probability. "Pass it into a Sigmoid cross entropy
    loss" says what is meant: binary cross entropy between the sigmoid of `d` and the label. Eq. 1 also labels
    the pair 0 when the *first* should lead, which with a sigmoid of `c'_1 - c'_2` would train towards the
    reverse order; the label here is 1 then.

    Equal oracle confidences (most pairs of background: both are 0) have no order and no loss; Eq. 1 as
    printed would ask for the second row, the one that the detector trusts less, to overtake. `ties="second
    first"` is that reading.
    """
    total = refined.sum() * 0.0  # a zero that backward() can still walk
    weights = refined.new_zeros(())
    for pairs in n_pairs(refined, oracle, is_box, num_pairs):
        first_leads = pairs.oracle_difference > 0
        counts = pairs.is_pair if ties == "second first" else pairs.is_pair & (pairs.oracle_difference != 0)
        entropy = F.binary_cross_entropy_with_logits(
            pairs.refined_difference, first_leads.to(refined.dtype), reduction="none"
        )
        total = total + pairs.weight * (entropy * counts).sum()
        weights = weights + pairs.weight * counts.sum()
    return total / weights.clamp(min=1e-12)


def margin_rank_loss(
    refined: ScoreBatch,
    oracle: ScoreBatch,
    is_box: Bool[Tensor, "image box"],
    num_pairs: int = 10,
) -> Float[Tensor, ""]:
    """Mean of how far pairs miss the oracle's distance: `max(0, m - d)`; 0 once all keep it, or without pairs.

    Of a pair, `m = |o_1 - o_2|` is the difference of oracle confidences and `d` the difference of refined
    ones, taken towards the oracle's order. Pairs and their weights are those of `rank_loss`.

    Paper, section 3.2: "We consider using the margin rescaling technique [29, 58] and this loss can push the
    confidences away from each other", with no formula. Margin rescaling in [29] (Joachims et al. 2009) is the
    hinge in which a wrong answer has to be beaten by as much as it costs. Read here with the pair as the
    structure, its reverse as the only wrong answer and the lost difference of IoU as the cost. The hinge takes
    the place of the sigmoid cross entropy; the other reading, `softplus(m - d)`, never reaches zero and
    pushes confidences apart without end, as the plain loss does.
    """
    total = refined.sum() * 0.0
    weights = refined.new_zeros(())
    for pairs in n_pairs(refined, oracle, is_box, num_pairs):
        counts = pairs.is_pair & (pairs.oracle_difference != 0)
        lead = pairs.refined_difference * pairs.oracle_difference.sign()
        missing = F.relu(pairs.oracle_difference.abs() - lead)
        total = total + pairs.weight * (missing * counts).sum()
        weights = weights + pairs.weight * counts.sum()
    return total / weights.clamp(min=1e-12)
