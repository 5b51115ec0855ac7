"""What a ranker minimises: losses by name, functions of a batch's refined confidences and its targets.

| name | what it asks for | source |
|---|---|---|
| `cross-entropy`, `l1`, `l2`, `smooth-l1` | each box's oracle confidence | paper 3.2, Table 1 |
| `rank` | the oracle's order of pairs within an image | paper Eq. 1 and 2 |
| `rank-margin` | that order, with the oracle's distance | paper 3.2; Joachims et al. 2009 |
| `rank-batch` | the oracle's order of pairs across the images of the batch | beyond the paper |
| `faces-first` | faces over background across the batch, then the best box of each face | beyond the paper |
| `face-or-not` | faces over background across the batch, whatever box is on them | beyond the paper |
| `varifocal` | each box's oracle confidence, faces weighing most | Zhang et al. 2021 |
"""

from collections.abc import Callable

from jaxtyping import Float
from torch import Tensor

from crface.losses.across_images import batch_rank_loss, face_or_not_loss, faces_first_loss
from crface.losses.order import margin_rank_loss, rank_loss
from crface.losses.regression import cross_entropy, l1, l2, smooth_l1, varifocal
from crface.losses.targets import Scale, Targets
from crface.tensor_shapes import ScoreBatch

__all__ = ["Loss", "Scale", "Targets", "create", "margin_rank_loss", "names", "rank_loss"]

Loss = Callable[[ScoreBatch, Targets], Float[Tensor, ""]]
"""(refined scores, targets) -> scalar. A batch without anything to learn has a zero loss that backward() can walk."""


def names() -> list[str]:
    """The names of the losses that `create` knows."""
    return list(_LOSSES)


def create(name: str, num_pairs: int, scale: Scale = "confidence") -> Loss:
    """The loss called `name`, for a ranker whose scores are on `scale`.

    `num_pairs` is the greatest distance of pairs, for `rank` and `rank-margin`. Raises ValueError for an
    unknown name, listing the known ones.
    """
    if name not in _LOSSES:
        raise ValueError(f"there is no loss {name!r}; choose one of {', '.join(names())}")
    return _LOSSES[name](num_pairs, scale)


_LOSSES: dict[str, Callable[[int, Scale], Loss]] = {
    "cross-entropy": lambda _, scale: lambda refined, targets: cross_entropy(refined, targets, scale),
    "l1": lambda _, scale: lambda refined, targets: l1(refined, targets, scale),
    "l2": lambda _, scale: lambda refined, targets: l2(refined, targets, scale),
    "smooth-l1": lambda _, scale: lambda refined, targets: smooth_l1(refined, targets, scale),
    "rank": lambda num_pairs, _: (
        lambda refined, targets: rank_loss(refined, targets.oracle, targets.is_box, num_pairs)
    ),
    "rank-margin": lambda num_pairs, _: (
        lambda refined, targets: margin_rank_loss(refined, targets.oracle, targets.is_box, num_pairs)
    ),
    "rank-batch": lambda *_: batch_rank_loss,
    "faces-first": lambda _, scale: lambda refined, targets: faces_first_loss(refined, targets, scale),
    "face-or-not": lambda _, scale: lambda refined, targets: face_or_not_loss(refined, targets, scale),
    "varifocal": lambda _, scale: lambda refined, targets: varifocal(refined, targets, scale),
}
