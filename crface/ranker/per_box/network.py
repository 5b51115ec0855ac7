"""The per-box rankers: logit of a box's confidence plus a residual from what is in the box and around it."""

from collections.abc import Mapping

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float32
from torch import Tensor, nn

from crface.backbones import MobileNetV1
from crface.ranker.gate import SMALLEST, logit_of
from crface.ranker.inputs import relative_rows, scaled_picture, to_tensor
from crface.ranker.interface import Ranker, StartingWeights, evaluating, is_box_row
from crface.ranker.per_box.attention import NeighbourAttention
from crface.ranker.per_box.overlaps import NUM_FEATURES, find_overlaps, pair_features
from crface.ranker.per_box.sights import Look, Opinion, Sight
from crface.ranker.per_box.trunk import STRIDES
from crface.tensor_shapes import PictureBatch, RowBatch, ScoreBatch, SizeBatch

LARGEST_RESIDUAL = 6.0
"""Most logits that a confidence moves by: odds of 1 to 1 become 400 to 1. Without a bound a few boxes end at exactly
1 in single precision, where they have no order."""

_WIDTH = 128
_NUM_ATTENTIONS = 2
_NUM_GEOMETRY = 8
_PLACE = 4  # the first columns of the geometry: where in the picture, and how large beside it
_NUM_HEARD_OF_OPINIONS = 1000
_BLOCK = 1024


def per_box_ranker(num_candidates: int, image_side_px: int) -> "PerBoxRanker":
    """The ranker that learns to see: for pictures like those it is trained on."""
    return PerBoxRanker(
        "per-box",
        Look(_WIDTH),
        num_candidates,
        image_side_px,
        knows_place=True,
        share_elsewhere=0.0,
        num_heard=num_candidates,
    )


def second_opinion_ranker(num_candidates: int, image_side_px: int) -> "PerBoxRanker":
    """The ranker that asks a face detector: for pictures and detectors it is not trained on.

    It does not know where a box lies, nor how large it is relative to the picture: that says more about a data set's
    pictures than about faces.
    """
    return PerBoxRanker(
        "second-opinion",
        Opinion(_WIDTH),
        num_candidates,
        image_side_px,
        knows_place=False,
        share_elsewhere=0.5,
        num_heard=max(num_candidates, _NUM_HEARD_OF_OPINIONS),
    )


class PerBoxRanker(Ranker):
    """Logit of each box's refined confidence: the detector's plus a residual, which starts at zero.

    Untrained it leaves every confidence exactly as it is. Takes any number of boxes, even 0; the result for a box
    depends neither on the order of the rows nor on padding. Pictures are scaled to a long side of `image_side_px`
    whatever the detector saw, so the cost does not grow with the size of the photograph.

    `share` is how much of the residual `refine` adds, 0..1; less than 1 in files of before the gate
    (`crface.ranker.gate`). Every box is refined, but only the `num_heard` most confident are heard as neighbours, so
    that the cost is bounded and a long tail of barely trusted boxes changes nothing. `sight` is what the ranker sees
    of a box in the picture; `knows_place`, whether it is told the box's place and size in the picture;
    `share_elsewhere`, how much of the refinement may be used on other pictures.
    """

    def __init__(
        self,
        name: str,
        sight: Sight,
        num_candidates: int,
        image_side_px: int,
        *,
        knows_place: bool,
        share_elsewhere: float,
        num_heard: int,
    ) -> None:
        super().__init__()
        self.name = name
        self.scale = "logit"
        self.num_candidates = num_candidates
        self.image_side_px = image_side_px
        self.sight = sight
        self._share_elsewhere = share_elsewhere
        self._num_heard = num_heard
        self._first_geometry = 0 if knows_place else _PLACE
        self.describe = nn.Linear(_NUM_GEOMETRY - self._first_geometry + NUM_FEATURES, _WIDTH)
        self.join = nn.Linear(2 * _WIDTH, _WIDTH)
        self.attention = nn.ModuleList(NeighbourAttention(_WIDTH) for _ in range(_NUM_ATTENTIONS))
        self.norm = nn.LayerNorm(_WIDTH)
        self.hidden = nn.Linear(_WIDTH, _WIDTH // 2)
        self.residual = nn.Linear(_WIDTH // 2, 1)
        nn.init.zeros_(self.residual.weight)
        nn.init.zeros_(self.residual.bias)
        self.share: Tensor
        self.register_buffer("share", torch.ones(()))

    def forward(
        self,
        images: PictureBatch,
        rows: RowBatch,
        sizes: SizeBatch,
    ) -> ScoreBatch:
        """Logits of a batch: the detector's plus the whole residual, `share` or not; 0 for padding."""
        return (logit_of(rows[..., 4]) + self.residuals(images, rows, sizes)) * is_box_row(rows)

    def all_confidences(
        self,
        images: PictureBatch,
        rows: RowBatch,
        sizes: SizeBatch,
    ) -> ScoreBatch:
        """Refined confidences of a batch, with `share`."""
        logit = logit_of(rows[..., 4]) + self.share * self.residuals(images, rows, sizes)
        return logit.sigmoid() * is_box_row(rows)

    def residuals(
        self,
        images: PictureBatch,
        rows: RowBatch,
        sizes: SizeBatch,
    ) -> ScoreBatch:
        """What is added to each logit, within +-`LARGEST_RESIDUAL`; meaningless for padding."""
        if self.training:  # pictures of a batch share a square, which may be larger than the largest of them
            width, height = (-(-int(side) // STRIDES[-1]) * STRIDES[-1] for side in sizes.amax(dim=0).ceil())
            images = images[:, :, :height, :width].contiguous(memory_format=torch.channels_last)
        maps = self.sight.maps(images)
        logit = logit_of(rows[..., 4])
        boxes = rows[..., :4] * sizes.repeat(1, 2)[:, None]
        overlaps = find_overlaps(rows, logit, self._num_heard)
        step = rows.shape[1] if self.training else _BLOCK  # the samples of 5000 boxes fill 65 MB
        seen = [
            self.sight.read(maps, boxes[:, start : start + step])
            for start in range(0, max(1, rows.shape[1]), max(1, step))
        ]
        about = torch.cat(
            [_geometry(rows, boxes, logit)[..., self._first_geometry :], overlaps.features], dim=-1
        )
        features: Tensor = self.join(
            torch.cat([*[torch.cat(seen, dim=1)], F.relu(self.describe(about))], dim=-1)
        )
        pairs = pair_features(rows, logit, overlaps)
        for layer in self.attention:
            features = layer(features, overlaps.neighbour, overlaps.is_neighbour, pairs)
        raw = self.residual(F.relu(self.hidden(self.norm(features))))[..., 0]
        return LARGEST_RESIDUAL * torch.tanh(raw.float() / LARGEST_RESIDUAL)

    @property
    def looks_at_boxes(self) -> bool:
        """It does."""
        return True

    @property
    def share_elsewhere(self) -> float:
        """None of what a ranker sees that learns to see; half of what it asks a detector."""
        return self._share_elsewhere

    @property
    def num_heard(self) -> int:
        """The most confident boxes that are heard as neighbours."""
        return self._num_heard

    def refine_all(self, image: np.ndarray, candidates: np.ndarray) -> Float32[np.ndarray, " candidate"]:
        """Refined confidence of each candidate in 0..1, in the order of `candidates`.

        All candidates are refined, however many. A permutation of the candidates permutes the result.
        """
        if len(candidates) == 0:
            return np.zeros(0, np.float32)
        # one order for any order of the rows: sums and equal overlaps then come out the same, bit for bit
        order = np.lexsort((*candidates[:, 3::-1].T, -candidates[:, 4]))
        ordered = candidates[order].astype(np.float32)
        picture, size = scaled_picture(image, self.image_side_px, multiple_of=STRIDES[-1])
        rows = relative_rows(ordered, image.shape[1], image.shape[0], len(ordered))
        with evaluating(self) as device:
            pixels, rows_, sizes = (
                torch.from_numpy(array)[None].to(device)
                for array in (picture, rows, np.array(size, np.float32))
            )
            residuals = self.share * self.residuals(to_tensor(pixels), rows_, sizes)
        refined = np.empty(len(candidates), np.float32)
        refined[order] = moved(ordered[:, 4], residuals[0].cpu().numpy())
        refined[(candidates == 0).all(axis=1)] = 0  # padding
        return refined

    def options(self) -> Mapping[str, object]:
        """No options."""
        return {}

    def classifier_part(self) -> MobileNetV1 | None:
        """The backbone, where the sight is trained."""
        return self.sight.classifier_part()

    def detector_part(self, state: Mapping[str, Tensor]) -> StartingWeights:
        """What the sight takes over of the detector."""
        return self.sight.detector_part(state)

    def observed_range(self) -> None:
        """No range: a logit's confidence lies in 0..1 by itself."""


def moved(
    confidence: Float32[np.ndarray, " box"], residual: Float32[np.ndarray, " box"]
) -> Float32[np.ndarray, " box"]:
    """Confidences with residuals added to their logits; exactly the same where a residual is 0."""
    # in odds and double precision, so that no confidence near 1 is rounded on the way
    inside = np.clip(confidence.astype(np.float64), SMALLEST, 1 - SMALLEST)
    odds = inside / (1 - inside) * np.exp(residual.astype(np.float64))
    return np.where(residual == 0, confidence, odds / (1 + odds)).astype(np.float32)


def _geometry(rows: Tensor, boxes: Tensor, logit: Tensor) -> Tensor:
    """Where a box lies and how large it is, in the picture and in pixels, and what the detector says of it."""
    share = rows[..., 2:4].clamp(min=1e-4)
    size_px = boxes[..., 2:4].clamp(min=1e-2)
    return torch.cat(
        [
            rows[..., :2] + rows[..., 2:4] / 2 - 0.5,
            share.log() / 2 + 1.5,
            size_px.log().mean(dim=-1, keepdim=True) - 3.5,
            (size_px[..., :1] / size_px[..., 1:]).log(),
            rows[..., 4:5],
            logit[..., None] / 4,
        ],
        dim=-1,
    )
