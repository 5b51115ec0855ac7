"""The number of faces of each height in a data set, in the bins of the paper's Figure 5."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from crface.evaluation.settings import HEIGHT_EDGES_PX, height_bin, height_names
from pipeline.collect.gathering import SPLIT
from pipeline.dataset.splits import read_annotations, split_files

_BAR_COLUMNS = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class FaceHeights:
    """The faces that count, by height."""

    counts: tuple[int, ...]
    """The number of faces in each bin, smallest faces first."""
    num_beyond: int
    """The number of faces above the last bin."""
    num_invalid: int
    """The number of faces that are flagged invalid or have no area, and are in no bin."""
    smallest_px: float
    """The height of the smallest face in pixels; NaN without a face."""
    largest_px: float

    def as_json(self) -> dict[str, Any]:
        """The counts as JSON values, bins by their upper edge as in Figure 5: "40" is 20 < height <= 40."""
        has_face = self.smallest_px == self.smallest_px
        return {
            "faces": dict(zip(height_names(), self.counts, strict=True)),
            "beyond": self.num_beyond,
            "invalid": self.num_invalid,
            "smallest_px": self.smallest_px if has_face else None,
            "largest_px": self.largest_px if has_face else None,
        }

    def as_lines(self) -> Sequence[str]:
        """The counts as text, 80 columns wide, with a line and a bar for each bin."""
        most = max(*self.counts, 1)
        lines = [
            f"{lower:>6} < height <= {upper:<6}{count:>7}  {'#' * round(_BAR_COLUMNS * count / most)}".rstrip()
            for lower, upper, count in zip(HEIGHT_EDGES_PX, HEIGHT_EDGES_PX[1:], self.counts, strict=False)
        ]
        total = sum(self.counts) + self.num_beyond
        span = f", {self.smallest_px:g} to {self.largest_px:g} pixels high" if total else ""
        left_out = f"; {self.num_invalid} invalid ones are in no bin" if self.num_invalid else ""
        beyond = [f"{HEIGHT_EDGES_PX[-1]:>6} < height{'':10}{self.num_beyond:>7}"] if self.num_beyond else []
        return [*lines, *beyond, f"{total} faces{span}{left_out}"]


def face_heights(root: Path) -> FaceHeights | None:
    """The faces in the annotation text of a collected data set, by height; None if it has no text yet.

    Raises UserError when the text cannot be read.
    """
    records = read_annotations(split_files(root, SPLIT))
    if records is None:
        return None
    boxes = np.concatenate(
        [np.zeros((0, 4), np.float32), *(record.faces[record.is_valid] for record in records)]
    )
    heights = boxes[:, 3] - boxes[:, 1]
    bins = height_bin(boxes)
    counts = np.bincount(bins[bins >= 0], minlength=len(HEIGHT_EDGES_PX) - 1)
    return FaceHeights(
        counts=tuple(counts.tolist()),
        num_beyond=int((bins < 0).sum()),
        num_invalid=sum(int((~record.is_valid).sum()) for record in records),
        smallest_px=float(heights.min()) if len(heights) else float("nan"),
        largest_px=float(heights.max()) if len(heights) else float("nan"),
    )
