"""Where a box of one picture lies in another that was resized, mirrored, padded or cut from it.

Half-pixel convention: coordinates are continuous, pixel `i` covers `i` to `i + 1`, and its centre is `i + 0.5`. So a
picture of width `w` reaches from 0 to `w`; resized to `w2` it maps `x` to `x * w2 / w`, mirrored to `w - x`. This is
what OpenCV's and PyTorch's (`align_corners=False`) resizing do to the pixels.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float


@dataclass(frozen=True, slots=True)
class Placement:
    """A map of coordinates: `x' = x_scale * x + x_shift`, likewise y. A negative scale mirrors.

    `Placement()` leaves everything where it is; then step by step, as the picture was changed:
    `Placement().resized(...).padded(...)`.
    """

    x_scale: float = 1.0
    y_scale: float = 1.0
    x_shift: float = 0.0
    y_shift: float = 0.0

    def resized(self, height: int, width: int, new_height: int, new_width: int) -> "Placement":
        """The map into the picture resized from `height` x `width` pixels to the new size."""
        return self._then(new_width / width, new_height / height, 0.0, 0.0)

    def mirrored(self, width: int) -> "Placement":
        """The map into the picture, `width` pixels wide, with left and right exchanged."""
        return self._then(-1.0, 1.0, float(width), 0.0)

    def padded(self, top: int, left: int) -> "Placement":
        """The map into the picture with rows added above and columns on the left; padding elsewhere moves nothing."""
        return self._then(1.0, 1.0, float(left), float(top))

    def cut(self, top: int, left: int) -> "Placement":
        """The map into the part (a tile) of the picture that begins at this row and column."""
        return self.padded(-top, -left)

    def inverse(self) -> "Placement":
        """The inverse map."""
        return Placement(
            1 / self.x_scale, 1 / self.y_scale, -self.x_shift / self.x_scale, -self.y_shift / self.y_scale
        )

    def boxes(self, boxes_xyxy: Float[np.ndarray, "n 4"]) -> Float[np.ndarray, "n 4"]:
        """Boxes mapped, in the input's type but computed in double; mirrored ones keep their upper left corner first.

        There and back is exact to 1e-3 px in single precision, for pictures up to 8K.
        """
        x1, y1, x2, y2 = boxes_xyxy.T.astype(np.float64)
        if self.x_scale < 0:
            x1, x2 = x2, x1
        mapped = [
            self.x_scale * x1 + self.x_shift,
            self.y_scale * y1 + self.y_shift,
            self.x_scale * x2 + self.x_shift,
            self.y_scale * y2 + self.y_shift,
        ]
        return np.stack(mapped, axis=1).astype(boxes_xyxy.dtype)

    def _then(self, x_scale: float, y_scale: float, x_shift: float, y_shift: float) -> "Placement":
        return Placement(
            x_scale * self.x_scale,
            y_scale * self.y_scale,
            x_scale * self.x_shift + x_shift,
            y_scale * self.y_shift + y_shift,
        )
