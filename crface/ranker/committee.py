"""The committee: a ranker that looks at no picture, but at what other detectors say of the same place.

Detectors err in different places. A box that several of them find is a face far more often than its own confidence
says, on pictures and for detectors that took no part in the training too (docs/results.md, "Committee"): there is no
kind of picture to get used to.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float32
from torch import Tensor, nn

from crface.ranker.gate import logit_of
from crface.ranker.inputs import relative_rows, scaled_size
from crface.ranker.interface import Ranker, StartingWeights, evaluating, is_box_row
from crface.ranker.opinions import num_columns
from crface.ranker.per_box.network import LARGEST_RESIDUAL, moved
from crface.ranker.per_box.overlaps import NUM_FEATURES, find_overlaps
from crface.tensor_shapes import PictureBatch, RowBatch, ScoreBatch, SizeBatch

_WIDTH = 64
_NUM_OWN = 2 + NUM_FEATURES


class CommitteeRanker(Ranker):
    """Logit of each box's refined confidence: the detector's plus a residual, which starts at zero.

    A small network of three layers looks at each box by itself: at its logit and size, at how it overlaps its
    detector's other boxes (`crface.ranker.per_box.overlaps`), and at what the detectors in `opinions` say of its place
    (`crface.ranker.opinions`). Any of them may be missing, as a detector is that is refined itself.
    """

    def __init__(self, opinions: Sequence[str], num_candidates: int, image_side_px: int) -> None:
        super().__init__()
        self.name = "committee"
        self.scale = "logit"
        self.num_candidates = num_candidates
        self.image_side_px = image_side_px
        self.opinions = tuple(opinions)
        self.first = nn.Linear(_NUM_OWN + num_columns(len(opinions)) - 5, _WIDTH)
        self.hidden = nn.Linear(_WIDTH, _WIDTH // 2)
        self.residual = nn.Linear(_WIDTH // 2, 1)
        nn.init.zeros_(self.residual.weight)
        nn.init.zeros_(self.residual.bias)

    @property
    def share_elsewhere(self) -> float:
        """Half: it looks at no picture, and so gets used to none."""
        return 0.5

    def forward(self, images: PictureBatch, rows: RowBatch, sizes: SizeBatch) -> ScoreBatch:
        """Logits of a batch; 0 for padding. The pictures are not looked at."""
        return (logit_of(rows[..., 4]) + self.residuals(rows, sizes)) * is_box_row(rows)

    def all_confidences(self, images: PictureBatch, rows: RowBatch, sizes: SizeBatch) -> ScoreBatch:
        """Refined confidences of a batch."""
        return (logit_of(rows[..., 4]) + self.residuals(rows, sizes)).sigmoid() * is_box_row(rows)

    def residuals(self, rows: RowBatch, sizes: SizeBatch) -> ScoreBatch:
        """What is added to each logit, within +-6; meaningless for padding."""
        own, opinions = rows[..., :5], rows[..., 5:]
        logit = logit_of(own[..., 4])
        size_px = (own[..., 2:4] * sizes[:, None]).clamp(min=1e-2).log().mean(dim=-1)
        overlaps = find_overlaps(own, logit, rows.shape[1] if self.training else self.num_candidates)
        seen = torch.cat(
            [logit[..., None] / 4, size_px[..., None] - 3.5, overlaps.features, opinions], dim=-1
        )
        raw: Tensor = self.residual(F.relu(self.hidden(F.relu(self.first(seen)))))[..., 0]
        return LARGEST_RESIDUAL * torch.tanh(raw.float() / LARGEST_RESIDUAL)

    @property
    def num_heard(self) -> int:
        """The boxes of its detector that a box is compared with."""
        return self.num_candidates

    def refine_all(self, image: np.ndarray, candidates: np.ndarray) -> Float32[np.ndarray, " candidate"]:
        """Refined confidence of each candidate in 0..1, in the order of `candidates`."""
        if len(candidates) == 0:
            return np.zeros(0, np.float32)
        order = np.lexsort((*candidates[:, 3::-1].T, -candidates[:, 4]))
        ordered = candidates[order].astype(np.float32)
        rows = relative_rows(ordered, image.shape[1], image.shape[0], len(ordered))
        size = scaled_size(image.shape[1], image.shape[0], self.image_side_px)
        with evaluating(self) as device:
            rows_, sizes = (
                torch.from_numpy(array)[None].to(device) for array in (rows, np.array(size, np.float32))
            )
            residuals = self.residuals(rows_, sizes)
        refined = np.empty(len(candidates), np.float32)
        refined[order] = moved(ordered[:, 4], residuals[0].cpu().numpy())
        refined[(candidates == 0).all(axis=1)] = 0  # padding
        return refined

    def options(self) -> Mapping[str, object]:
        """The detectors that are asked."""
        return {"opinions": list(self.opinions)}

    def classifier_part(self) -> None:
        """No part: there is no backbone."""

    def detector_part(self, state: Mapping[str, Tensor]) -> StartingWeights:
        """No part; raises ValueError."""
        raise ValueError("the committee ranker has no trunk to start from: leave initial_weights out")

    def observed_range(self) -> None:
        """No range: a logit's confidence lies in 0..1 by itself."""
