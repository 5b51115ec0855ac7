"""The loss of anchor networks: face or not with hard negatives, box offsets, and landmarks where there are any.

RetinaFace (Deng et al. 2019), equation 1, its dense term left out. Hard negative mining: SSD (Liu et al. 2016),
section 2.2.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from crface.training.replicas import ALONE, Replicas
from detectors.training.matching import BACKGROUND, Targets


@dataclass(frozen=True, slots=True)
class MultiboxLoss:
    """The parts of the loss, each divided by the number of positive priors of the batch (at least one)."""

    boxes: Float[Tensor, ""]
    classes: Float[Tensor, ""]

    def total(self, box_weight: float) -> Float[Tensor, ""]:
        """The loss to minimise."""
        return box_weight * self.boxes + self.classes


def multibox_loss(
    offsets: Float[Tensor, "batch prior 4"],
    logits: Float[Tensor, "batch prior 2"],
    targets: Targets,
    negatives_per_positive: int,
    num_positives: float | None = None,
) -> MultiboxLoss:
    """Smooth L1 of the positives' offsets and cross entropy of positives and the hardest negatives.

    Negatives are mined over the batch, not within each image, so that images without faces teach as well; a
    batch without any face counts as having one positive. `num_positives` is what the sums are divided by, where
    that is not the number of these positives: the mean over the parts of a batch that is spread over processes.
    """
    is_positive = targets.labels >= 0
    num_mined = max(int(is_positive.sum()), 1)
    num_positives = max(num_mined if num_positives is None else num_positives, 1)
    boxes = F.smooth_l1_loss(offsets[is_positive], targets.offsets, reduction="sum")
    # Of two classes, cross entropy is softplus of the wrong logit minus the right one.
    face_over_background = logits[..., 1] - logits[..., 0]
    negatives = face_over_background[targets.labels == BACKGROUND]
    hardest = negatives.topk(min(negatives_per_positive * num_mined, len(negatives)), sorted=False).values
    classes = F.softplus(-face_over_background[is_positive]).sum() + F.softplus(hardest).sum()
    return MultiboxLoss(boxes / num_positives, torch.as_tensor(classes / num_positives))


def landmark_loss(
    offsets: Float[Tensor, "batch prior 10"], targets: Targets, replicas: Replicas = ALONE
) -> Float[Tensor, ""]:
    """Smooth L1 of the landmarks of positives whose face has them, summed and divided by their number.

    Zero, with a gradient of zero, where no face has landmarks. Of a batch spread over `replicas`, the number
    is the mean of theirs.
    """
    found = offsets[targets.labels >= 0]
    is_known = targets.landmarks.isfinite().all(dim=1)
    num_known = max(replicas.mean(float(is_known.sum())), 1.0)
    return F.smooth_l1_loss(found[is_known], targets.landmarks[is_known], reduction="sum") / num_known
