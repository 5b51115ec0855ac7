"""The confidence ranking network: image and candidates in, refined confidences out (paper 3.3, 3.4, 4.3)."""

from collections.abc import Mapping

import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor, nn

from crface.backbones import MobileNetV1, ResNet
from crface.ranker.bpn import BPN_CHANNELS, BoxProcessingNetwork
from crface.ranker.confidence_module import ConfidenceModule
from crface.ranker.fpn import FeaturePyramid
from crface.ranker.inputs import relative_rows, square_picture, to_tensor
from crface.ranker.interface import (
    OutputRange,
    Ranker,
    StartingWeights,
    evaluating,
    is_box_row,
)
from crface.tensor_shapes import PictureBatch, RowBatch, ScoreBatch, SizeBatch


class ConfidenceRanker(Ranker):
    """The paper's ranker: refined confidences c' = c + residual; exactly c while untrained, 0 for padding rows.

    `num_candidates` is N, `image_side_px` the side of the square that pictures are scaled to. `backbone` makes three
    maps, at strides 8, 16 and 32; FPN and confidence modules have `channels` channels (256 in the large ranker, 64 in
    the small). `head` makes the confidence modules.

    Range: "we also clip the refined confidence (c') to be within 0 to 1 to keep the same output range":
    `output_range` "clipped". Detectors' confidences crowd below 1, and there half of them would end as equals,
    which costs AP. With "scaled" the range is kept by mapping the widest range that c' took in training,
    `lowest` to `highest`, onto 0..1, which preserves every order; only what lies beyond it is clipped.
    Before training that range is 0..1 itself, and nothing moves. `forward` returns c' unbounded, and the loss is taken
    on that: inside the loss a clip would stop the gradient of every confidence beyond 0 or 1, and a box pushed there
    by mistake could never come back.
    """

    def __init__(
        self,
        name: str,
        backbone: MobileNetV1 | ResNet,
        channels: int,
        num_candidates: int,
        image_side_px: int,
        output_range: OutputRange,
        head: type[ConfidenceModule] = ConfidenceModule,
    ) -> None:
        super().__init__()
        self.name = name
        self.scale = "confidence"
        self.num_candidates = num_candidates
        self.image_side_px = image_side_px
        self.output_range = output_range
        self.backbone = backbone
        depths = backbone.channels
        self.bpn = BoxProcessingNetwork(num_levels=len(depths))
        self.fpn = FeaturePyramid(tuple(depth + BPN_CHANNELS for depth in depths), channels)
        self.confidence = nn.ModuleList(head(channels, num_candidates) for _ in depths)
        self.lowest: Tensor
        self.highest: Tensor
        self.register_buffer("lowest", torch.zeros(()))
        self.register_buffer("highest", torch.ones(()))

    def forward(
        self,
        images: PictureBatch,
        rows: RowBatch,
        sizes: SizeBatch,
    ) -> ScoreBatch:
        """c' of a batch, not yet brought into 0..1; 0 for padding, which is rows of zeros.

        `sizes`, where the picture ends in its square, is not used: the paper's network sees the whole square, and
        boxes in shares of their picture. In training mode the range of the result is remembered.
        """
        is_box = is_box_row(rows)
        levels: list[Tensor] = self.backbone(images)
        boxes = self.bpn(rows, is_box, [(level.shape[2], level.shape[3]) for level in levels])
        merged = self.fpn([torch.cat(pair, dim=1) for pair in zip(levels, boxes, strict=True)])
        proposals = [module(level, rows) for module, level in zip(self.confidence, merged, strict=True)]
        residual = torch.stack(proposals).mean(dim=0)
        refined = (rows[..., 4] + residual) * is_box
        if self.training:
            self.lowest = torch.minimum(self.lowest, refined.detach().min())
            self.highest = torch.maximum(self.highest, refined.detach().max())
        return refined

    def all_confidences(
        self,
        images: PictureBatch,
        rows: RowBatch,
        sizes: SizeBatch,
    ) -> ScoreBatch:
        """c' of a batch in 0..1."""
        refined: Tensor = self(images, rows, sizes)
        if self.output_range == "scaled":
            refined = (refined - self.lowest) / (self.highest - self.lowest)
        return refined.clamp(0, 1) * is_box_row(rows)

    @property
    def num_heard(self) -> int:
        """N: what lies beyond them only keeps below them."""
        return self.num_candidates

    def refine_all(self, image: np.ndarray, candidates: np.ndarray) -> Float32[np.ndarray, " candidate"]:
        """Refined confidence of each candidate in 0..1, in the order of `candidates`.

        Of equal confidences the earlier row comes first. Candidates beyond the N most confident keep their predicted
        confidence, on the same scale, but never above the last refined one.
        """
        order = np.argsort(-candidates[:, 4], kind="stable")
        ordered = candidates[order].astype(np.float32)
        picture, size = square_picture(image, self.image_side_px)
        rows = relative_rows(ordered, image.shape[1], image.shape[0], self.num_candidates)
        with evaluating(self) as device:
            pixels, rows_, sizes = (
                torch.from_numpy(array)[None].to(device)
                for array in (picture, rows, np.array(size, np.float32))
            )
            values = self(to_tensor(pixels), rows_, sizes)
        head = values[0, : len(ordered)].cpu().numpy()
        tail = ordered[len(head) :, 4]  # none of it unless the head is full
        scores = np.concatenate([head, np.minimum(tail, head[-1:])])
        lowest, highest = 0.0, 1.0
        if self.output_range == "scaled":
            lowest, highest = float(self.lowest), float(self.highest)
        refined = np.empty(len(candidates), np.float32)
        refined[order] = np.clip((scores - lowest) / (highest - lowest), 0, 1)
        refined[(candidates == 0).all(axis=1)] = 0  # padding
        return refined

    def options(self) -> Mapping[str, object]:
        """How confidences are kept within 0..1."""
        return {"output_range": self.output_range}

    def classifier_part(self) -> MobileNetV1 | ResNet:
        """The backbone."""
        return self.backbone

    def detector_part(self, state: Mapping[str, Tensor]) -> StartingWeights:
        """The backbone of the detector."""
        tensors = {
            key.removeprefix("body."): value for key, value in state.items() if key.startswith("body.")
        }
        return StartingWeights(self.backbone, tensors, "the backbone of a detector")

    def observed_range(self) -> tuple[Tensor, Tensor]:
        """Lowest and highest c' seen in training."""
        return self.lowest, self.highest
