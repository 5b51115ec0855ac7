"""The confidence ranking network: image and candidates in, refined confidences out (paper 3.3, 3.4, 4.3)."""

from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Float32
from torch import Tensor, nn

from crface.ranker.bpn import BPN_CHANNELS, BoxProcessingNetwork
from crface.ranker.confidence_module import ConfidenceModule
from crface.ranker.fpn import FeaturePyramid
from crface.ranker.inputs import relative_rows, square_picture, to_tensor

OutputRange = Literal["clipped", "scaled"]
"""How refined confidences are kept within 0..1: the paper's clip, or one linear map for all images."""


class ConfidenceRanker(nn.Module):
    """Give refined confidences c' = c + residual; exactly c while untrained, 0 for padding rows.

    `name` says which network it is, `num_candidates` is N, `image_side_px` the side of the square that
    pictures are scaled to. FPN and confidence modules have `channels` channels (256 in the large ranker, 64
    in the small).

    Range: "we also clip the refined confidence (c') to be within 0 to 1 to keep the same output range":
    `output_range` "clipped". Detectors' confidences crowd below 1, and there half of them would end as equals,
    which costs AP. With "scaled" the range is kept by mapping the widest range that c' took in training,
    `lowest` to `highest`, onto 0..1, which leaves every order as it is; only what lies beyond that is clipped.
    Before training it is 0..1 itself, and nothing moves. `forward` gives c' as it is, and the loss is taken on
    that: inside the loss a clip would stop the gradient of every confidence beyond 0 or 1, and a box pushed
    there by mistake could never come back.
    """

    def __init__(
        self,
        name: str,
        backbone: nn.Module,
        depths: tuple[int, int, int],
        channels: int,
        num_candidates: int,
        image_side_px: int,
        output_range: OutputRange,
    ) -> None:
        super().__init__()
        self.name = name
        self.num_candidates = num_candidates
        self.image_side_px = image_side_px
        self.output_range = output_range
        self.backbone = backbone
        self.bpn = BoxProcessingNetwork(num_levels=len(depths))
        self.fpn = FeaturePyramid(tuple(depth + BPN_CHANNELS for depth in depths), channels)
        self.confidence = nn.ModuleList(ConfidenceModule(channels, num_candidates) for _ in depths)
        self.lowest: Tensor
        self.highest: Tensor
        self.register_buffer("lowest", torch.zeros(()))
        self.register_buffer("highest", torch.ones(()))

    def forward(
        self, images: Float[Tensor, "image 3 side side"], rows: Float[Tensor, "image box 5"]
    ) -> Float[Tensor, "image box"]:
        """Give c' of a batch, not yet brought into 0..1; 0 for padding, which is rows of zeros.

        `images` as `inputs.to_tensor` makes them, `rows` as `inputs.relative_rows` does. In training mode the
        range of the result is remembered.
        """
        is_box = is_box_row(rows)
        levels: list[Tensor] = self.backbone(images)
        sizes = [(level.shape[2], level.shape[3]) for level in levels]
        boxes = self.bpn(rows, is_box, sizes)
        merged = self.fpn([torch.cat(pair, dim=1) for pair in zip(levels, boxes, strict=True)])
        proposals = [module(level) for module, level in zip(self.confidence, merged, strict=True)]
        residual = torch.stack(proposals).mean(dim=0)
        refined = (rows[..., 4] + residual) * is_box
        if self.training:
            self.lowest = torch.minimum(self.lowest, refined.detach().min())
            self.highest = torch.maximum(self.highest, refined.detach().max())
        return refined

    @torch.no_grad()
    def refine(self, image: np.ndarray, candidates: np.ndarray) -> Float32[np.ndarray, " candidate"]:
        """Give each candidate's refined confidence in 0..1, in the order of `candidates`; empty for none.

        `image` is uint8 [H, W, 3] RGB of any size (checked here rather than by the signature, to say it in
        words); `candidates` [N, 5] are `x1 y1 x2 y2 confidence` in its pixels, in any order (equal ones: the
        earlier first); rows that are zero throughout are padding and get 0. Candidates beyond the N most
        confident keep their predicted confidence, on the same scale, but none passes the last that was
        refined.

        Runs in evaluation mode, whatever mode the network is in. Raises ValueError for other shapes or values
        that are not finite.
        """
        _check(image, candidates)
        order = np.argsort(-candidates[:, 4], kind="stable")
        ordered = candidates[order].astype(np.float32)
        picture, _ = square_picture(image, self.image_side_px)
        device = next(self.parameters()).device
        rows = relative_rows(ordered, image.shape[1], image.shape[0], self.num_candidates)
        was_training = self.training
        self.eval()
        try:
            values = self(
                to_tensor(torch.from_numpy(picture)[None].to(device)), torch.from_numpy(rows)[None].to(device)
            )
        finally:
            self.train(was_training)
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


def is_box_row(rows: Float[Tensor, "image box 5"]) -> Tensor:
    """Tell boxes from padding: a padding row is zero throughout."""
    return (rows != 0).any(dim=-1)


def _check(image: np.ndarray, candidates: np.ndarray) -> None:
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or image.size == 0:
        raise ValueError(
            f"the image is {image.dtype} {list(image.shape)}; uint8 [height, width, 3] RGB is needed"
        )
    if candidates.ndim != 2 or candidates.shape[1] != 5:
        raise ValueError(
            f"the candidates are {list(candidates.shape)}; [N, 5] is needed: x1 y1 x2 y2 confidence"
        )
    if not np.isfinite(candidates).all():
        raise ValueError("the candidates hold values that are not finite")
