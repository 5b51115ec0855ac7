"""The confidence that a detector should have given: how well each box lies on a face (paper 3.1)."""

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from crface.boxes import CPU_PAIRS, iou


def oracle_confidence(boxes: Float[Tensor, "box 4"], faces: Float[Tensor, "face 4"]) -> Float[Tensor, " box"]:
    """IoU of each box with the face it overlaps most, in 0..1; all zeros in an image without faces.

    Both are `x1 y1 x2 y2` in pixels of the original image; a face or a box without area counts for nothing.
    A ranker is trained towards it, and as a confidence it is the upper bound of AP. Paper: section 3.1.
    """
    if len(faces) == 0:  # amax over an empty axis raises; "no face" is an answer, not an error
        return boxes.new_zeros(len(boxes))
    return torch.cat([part.amax(dim=1) for part in _overlaps(boxes, faces)])


def closest_face(
    boxes: Float[Tensor, "box 4"], faces: Float[Tensor, "face 4"]
) -> tuple[Float[Tensor, " box"], Int64[Tensor, " box"]]:
    """Oracle confidence of each box, and which face it is with: the first of equals, -1 for none.

    A box has no face when it overlaps none; its oracle confidence is 0 then. Paper: section 3.1.
    """
    if len(faces) == 0:
        return boxes.new_zeros(len(boxes)), torch.full((len(boxes),), -1, device=boxes.device)
    # `max` finds the first of equals too, but calls other threads however little there is to do
    parts = _overlaps(boxes, faces)
    overlap = torch.cat([part.amax(dim=1) for part in parts])
    face = torch.cat([part.argmax(dim=1) for part in parts])
    return overlap, face.masked_fill(overlap == 0, -1)


def _overlaps(boxes: Float[Tensor, "box 4"], faces: Float[Tensor, "face 4"]) -> list[Float[Tensor, "_ face"]]:
    """The IoU of each box with each face, some boxes at a time: for a CPU's caches, and for one of its threads."""
    at_once = max(1, CPU_PAIRS // len(faces)) if boxes.is_cpu else max(1, len(boxes))
    return [iou(part, faces) for part in torch.split(boxes, at_once)]
