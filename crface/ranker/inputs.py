"""The ranker's input: a square picture, and N rows of relative numbers (paper 3.3, 4.2)."""

import cv2
import numpy as np
import torch
from jaxtyping import Float32, UInt8
from torch import Tensor

from crface.array_shapes import RgbImage
from crface.tensor_shapes import PictureBatch

MEAN_RGB = (123.0, 117.0, 104.0)
"""Mean colour: subtracted from the channels, and filled in where a picture leaves its square free."""


def square_picture(image: RgbImage, side_px: int) -> tuple[UInt8[np.ndarray, "side side 3"], tuple[int, int]]:
    """An RGB image with its long side scaled to `side_px`, on a square, and its (width, height) there.

    The picture lies in the upper left corner. A square for every image: pictures of all shapes share a batch,
    and the global average pooling sees in use what it saw in training.
    """
    picture, size = scaled_picture(image, side_px)
    return on_square(picture, side_px), size


def scaled_picture(
    image: RgbImage, side_px: int, multiple_of: int = 1
) -> tuple[UInt8[np.ndarray, "rows columns 3"], tuple[int, int]]:
    """An RGB image with its long side scaled to `side_px`, and its (width, height) then.

    Below and to the right of it mean colour is added until both sides are multiples of `multiple_of`.
    """
    height, width = image.shape[:2]
    size = scaled_size(width, height, side_px)
    # area averaging does not alias when shrinking; it would be a nearest neighbour when enlarging
    is_shrunk = side_px < max(height, width)
    resized = cv2.resize(image, size, interpolation=cv2.INTER_AREA if is_shrunk else cv2.INTER_LINEAR)
    rows, columns = (-(-side // multiple_of) * multiple_of for side in (size[1], size[0]))
    return _on_mean_colour(resized, rows, columns), size


def scaled_size(width: int, height: int, side_px: int) -> tuple[int, int]:
    """Width and height of a picture whose long side is scaled to `side_px`; at least one pixel."""
    scale = side_px / max(height, width)
    return max(1, round(width * scale)), max(1, round(height * scale))


def on_square(picture: RgbImage, side_px: int) -> UInt8[np.ndarray, "side side 3"]:
    """A picture in the upper left corner of a square of mean colour, which it must fit into."""
    return _on_mean_colour(picture, side_px, side_px)


def relative_rows(
    candidates: Float32[np.ndarray, "candidate number"], width: int, height: int, num_candidates: int
) -> Float32[np.ndarray, "row number"]:
    """The first N candidates as rows x, y, w, h, confidence, the rest of the N rows zero.

    `candidates` are `x1 y1 x2 y2 confidence` in pixels of a picture of this width and height, highest
    confidence first. The paper's "x, y, w, h" is read as the upper left corner and the size, "normalize by
    the image width and height to keep the input range between 0 to 1" as a division; boxes that reach out of
    the picture are not clipped. Further columns (`crface.ranker.opinions`) stay as they are.
    """
    rows = np.zeros((num_candidates, candidates.shape[1]), np.float32)
    taken = candidates[:num_candidates]
    rows[: len(taken), :2] = taken[:, :2]
    rows[: len(taken), 2:4] = taken[:, 2:4] - taken[:, :2]
    rows[: len(taken), :4] /= np.array([width, height, width, height], np.float32)
    rows[: len(taken), 4:] = taken[:, 4:]
    return rows


def to_tensor(pictures: UInt8[Tensor, "image height width 3"]) -> PictureBatch:
    """The backbone's input from RGB pictures: BGR, mean subtracted, channels last in memory.

    The published weights of the shared backbone were trained with such input.
    """
    if torch.onnx.is_in_onnx_export():  # which knows no writing into slices
        mean = torch.tensor(MEAN_RGB[::-1], device=pictures.device)
        return (pictures.flip(-1).float() - mean).permute(0, 3, 1, 2)
    shifted = torch.empty(pictures.shape, device=pictures.device)
    for channel, grey in enumerate(reversed(MEAN_RGB)):  # in half the time of turning the innermost axis
        torch.sub(pictures[..., 2 - channel], grey, out=shifted[..., channel])
    return shifted.permute(0, 3, 1, 2)


def _on_mean_colour(picture: RgbImage, rows: int, columns: int) -> UInt8[np.ndarray, "rows columns 3"]:
    height, width = picture.shape[:2]
    framed = cv2.copyMakeBorder(
        picture, 0, rows - height, 0, columns - width, cv2.BORDER_CONSTANT, value=MEAN_RGB
    )
    return np.asarray(framed, np.uint8)
