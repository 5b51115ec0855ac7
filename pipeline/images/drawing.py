"""Detections drawn on a picture: frames and confidences that are legible at 200 pixels and at 4K."""

import math
from typing import Final

import cv2
import numpy as np
from jaxtyping import Float, UInt8

Picture = UInt8[np.ndarray, "_ _ 3"]

_MIN_LONG_SIDE_PX: Final = 600
"""Smaller pictures are enlarged, as their frames and numbers would otherwise hide the faces."""
_LINE_SHARE = 1 / 700  # of the long side
_TEXT_SHARE = 0.36  # of a frame's width: makes a number about as wide as its frame
_MIN_TEXT_PX, _MAX_TEXT_SHARE = 10, 1 / 45  # height of a digit; its largest share of the long side
_HERSHEY_PX = 21  # height of a digit at scale 1
_SUBPIXEL_BITS = 4
_FRAME, _EDGE = (255, 214, 10), (20, 20, 20)  # yellow on black stands out against skin, sky and shade alike


def drawn(image: Picture, detections: Float[np.ndarray, "_ 5"]) -> Picture:
    """A copy of an RGB image with each detection's frame and confidence drawn on it, the best on top.

    An image of less than 600 pixels is enlarged by a whole factor. Frames narrower than about 28 pixels carry no
    number; whatever reaches beyond the image is cut off.
    """
    height, width = image.shape[:2]
    factor = max(1, math.ceil(_MIN_LONG_SIDE_PX / max(height, width)))
    picture = np.ascontiguousarray(image).copy()
    if factor > 1:
        size = (width * factor, height * factor)
        picture = np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_CUBIC), np.uint8)
    line_px = max(2, round(max(picture.shape) * _LINE_SHARE))
    # a frame far outside looks like one just outside, and OpenCV's coordinates end at 2^27
    outside = np.array([width, height, width, height]) + 2 * line_px
    for row in detections[::-1]:
        x1, y1, x2, y2 = (np.clip(row[:4], -2 * line_px, outside) * factor).tolist()
        _draw_frame(picture, (x1, y1, x2, y2), line_px)
        _write(picture, (x1, y1, x2, y2), f"{row[4]:.2f}")
    return picture


def _draw_frame(picture: Picture, box: tuple[float, float, float, float], line_px: int) -> None:
    narrow = min(box[2] - box[0], box[3] - box[1])
    line_px = max(1, min(line_px, round(narrow / 15)))
    edge_px = line_px + max(2, line_px // 2) if line_px > 1 else 1  # an edge would drown a thin frame
    for colour, thickness in ((_EDGE, edge_px), (_FRAME, line_px)):
        cv2.rectangle(
            picture, _point(*box[:2]), _point(*box[2:]), colour, thickness, cv2.LINE_AA, _SUBPIXEL_BITS
        )


def _write(picture: Picture, box: tuple[float, float, float, float], text: str) -> None:
    """Write above the frame, or inside it at the picture's edge; nothing if it would not be legible."""
    height, width = picture.shape[:2]
    text_px = min((box[2] - box[0]) * _TEXT_SHARE, max(height, width) * _MAX_TEXT_SHARE)
    if text_px < _MIN_TEXT_PX:
        return
    scale, thickness = text_px / _HERSHEY_PX, max(1, round(text_px / 8))
    (text_width, text_height), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, thickness)
    margin = max(2, round(text_px / 4))
    left = round(min(max(box[0], 0), width - text_width - 2 * margin))
    bottom = round(box[1])
    if bottom - text_height - 2 * margin < 0:
        bottom = max(bottom, 0) + text_height + 2 * margin
    cv2.rectangle(
        picture,
        (left, bottom - text_height - 2 * margin),
        (left + text_width + 2 * margin, bottom),
        _EDGE,
        cv2.FILLED,
    )
    cv2.putText(
        picture,
        text,
        (left + margin, bottom - margin),
        cv2.FONT_HERSHEY_SIMPLEX,
        scale,
        _FRAME,
        thickness,
        cv2.LINE_AA,
    )


def _point(x: float, y: float) -> tuple[int, int]:
    # half a pixel less: OpenCV counts from the middle of the first pixel, boxes from its edge
    return tuple(round((value - 0.5) * (1 << _SUBPIXEL_BITS)) for value in (x, y))  # type: ignore[return-value]
