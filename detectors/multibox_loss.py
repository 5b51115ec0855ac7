"""The loss of RetinaFace without landmarks: face or not with hard negatives, and box offsets.

RetinaFace (Deng et al. 2019), equation 1, its landmark and dense terms left out: data sets with boxes only
have no targets for them. Hard negative mining: SSD (Liu et al. 2016), section 2.2.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from detectors.matching import BACKGROUND, Targets


@dataclass(frozen=True, slots=True)
class MultiboxLoss:
    """The parts of the loss, each divided by the number of positive priors of the batch (at least one)."""

    boxes: Float[Tensor, ""]
    classes: Float[Tensor, ""]

    def total(self, box_weight: float) -> Float[Tensor, ""]:
        """Give the number to minimise."""
        return box_weight * self.boxes + self.classes


def multibox_loss(
    offsets: Float[Tensor, "batch prior 4"],
    logits: Float[Tensor, "batch prior 2"],
    targets: Targets,
    negatives_per_positive: int,
) -> MultiboxLoss:
    """Give smooth L1 of the positives' offsets and cross entropy of positives and the hardest negatives.

    Negatives are mined over the batch, not within each image, so that images without faces teach as well; a
    batch without any face counts as having one positive.
    """
    is_positive = targets.labels >= 0
    num_positives = max(int(is_positive.sum()), 1)
    boxes = F.smooth_l1_loss(offsets[is_positive], targets.offsets, reduction="sum")
    # Of two classes, cross entropy is softplus of the wrong logit minus the right one.
    face_over_background = logits[..., 1] - logits[..., 0]
    negatives = face_over_background[targets.labels == BACKGROUND]
    hardest = negatives.topk(min(negatives_per_positive * num_positives, len(negatives)), sorted=False).values
    classes = F.softplus(-face_over_background[is_positive]).sum() + F.softplus(hardest).sum()
    return MultiboxLoss(boxes / num_positives, torch.as_tensor(classes / num_positives))
