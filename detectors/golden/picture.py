"""The picture that detectors are tested on: two drawn faces, bit for bit the same on every machine."""

import numpy as np
from jaxtyping import Bool, Int64, UInt8

HEIGHT_PX, WIDTH_PX = 160, 224
FACES_XYXY = ((42, 40, 106, 122), (151, 68, 185, 111))
"""The two faces, from the middle of the forehead to the chin, in pixels."""

_SKIN, _SHADE, _HAIR, _EYE, _WHITE, _LIPS = (
    (224, 178, 148),
    (196, 146, 116),
    (62, 42, 30),
    (34, 26, 26),
    (238, 234, 228),
    (176, 82, 84),
)

Colour = tuple[int, int, int]


def golden_picture() -> UInt8[np.ndarray, "160 224 3"]:
    """The picture, RGB: a large face on the left and a smaller one on the right, in front of a plain wall.

    It is computed in integers only, so that no processor, compiler or library version can round it differently.
    """
    y, x = np.mgrid[0:HEIGHT_PX, 0:WIDTH_PX].astype(np.int64)
    picture = np.stack([112 + y // 4, 126 + x // 8, 140 + (x + y) // 12], axis=-1)
    _draw_face(picture, x, y, centre=(74, 78), half_width=34)
    _draw_face(picture, x, y, centre=(168, 88), half_width=18)
    return _smoothed(picture).astype(np.uint8)


def _draw_face(
    picture: Int64[np.ndarray, "height width 3"],
    x: Int64[np.ndarray, "height width"],
    y: Int64[np.ndarray, "height width"],
    centre: tuple[int, int],
    half_width: int,
) -> None:
    """Paint a frontal face; every part is an ellipse in hundredths of the face's half width."""

    def paint(colour: Colour, dx: int, dy: int, width: int, height: int, only: slice | None = None) -> None:
        cx, cy = centre[0] + dx * half_width // 100, centre[1] + dy * half_width // 100
        a, b = max(1, width * half_width // 100), max(1, height * half_width // 100)
        inside: Bool[np.ndarray, "height width"] = (x - cx) ** 2 * b * b + (
            y - cy
        ) ** 2 * a * a <= a * a * b * b
        if only is not None:
            keep = np.zeros_like(inside)
            keep[only] = True
            inside = inside & keep
        picture[inside] = colour

    above_brow = slice(0, centre[1] - 45 * half_width // 100)
    paint((70, 84, 120), 0, 260, 190, 130)  # shoulders
    paint(_SHADE, 0, 130, 45, 60)  # neck
    paint(_HAIR, 0, -20, 115, 130)
    paint(_SKIN, 0, 5, 98, 128)
    paint(_HAIR, 0, -70, 100, 60, above_brow)
    for side in (-1, 1):
        paint(_SHADE, side * 100, 5, 12, 26)  # ear
        paint(_HAIR, side * 40, -34, 26, 6)  # brow
        paint(_WHITE, side * 40, -12, 22, 11)
        paint(_EYE, side * 40, -12, 10, 11)
        paint(_SHADE, side * 62, 40, 22, 16)  # cheek
    paint(_SHADE, 0, 26, 14, 30)  # nose
    paint((120, 80, 66), -8, 46, 6, 4)
    paint((120, 80, 66), 8, 46, 6, 4)
    paint(_LIPS, 0, 76, 36, 12)
    paint((112, 44, 48), 0, 76, 32, 3)


def _smoothed(picture: Int64[np.ndarray, "height width 3"]) -> Int64[np.ndarray, "height width 3"]:
    """The picture blurred twice with the kernel 1 2 1 in both directions, for edges like those of a lens."""
    for _ in range(2):
        for axis in (0, 1):
            padded = np.pad(picture, [(1, 1) if a == axis else (0, 0) for a in range(3)], mode="edge")
            before, at, after = (np.take(padded, range(i, i + picture.shape[axis]), axis) for i in range(3))
            picture = (before + 2 * at + after + 2) // 4
    return picture
