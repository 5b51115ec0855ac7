"""An image cut into tiles that overlap by what the network sees, so that together they answer as the whole does.

A tile begins on a multiple of the coarsest stride: its cells are those of the whole image. What is taken from it lies a
margin (`detectors.forward.receptive_field`) away from where it was cut; at the image's own edges it ends as the
image does.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product

from jaxtyping import Float, UInt8
from torch import Tensor

from detectors.networks.priors import PriorLayout

_MAX_REPEATED = 4


@dataclass(frozen=True, slots=True)
class Span:
    """Pixels of one side of the image: what a tile is taken for, and what the network is shown for it."""

    start: int
    stop: int
    seen_start: int
    seen_stop: int


@dataclass(frozen=True, slots=True)
class Tile:
    """A part of an image; the parts `start:stop` of all tiles are the image, none of it twice."""

    rows: Span
    columns: Span


def plan_tiles(height: int, width: int, stride: int, margin: int, max_pixels: int) -> list[Tile]:
    """Cut an image with the fewest pixels to compute, none of the forwards larger than `max_pixels` if that can be.

    What overlaps is computed again and again: a cut that computes more than four times the image is not made.
    Where none of the others is fine enough, it is the one with the smallest forwards. `margin` is a
    multiple of `stride`.
    """
    cuts = [
        (rows, columns)
        for rows, columns in product(_cuts(height, stride, margin), _cuts(width, stride, margin))
        if rows.total * columns.total <= _MAX_REPEATED * height * width
    ]
    limit = max(max_pixels, min(rows.longest * columns.longest for rows, columns in cuts))
    rows, columns = min(
        (cut for cut in cuts if cut[0].longest * cut[1].longest <= limit),
        key=lambda cut: cut[0].total * cut[1].total,
    )
    return [Tile(row, column) for row, column in product(rows.spans, columns.spans)]


def tiled_forward(
    forward: Callable[[UInt8[Tensor, "batch _ _ 3"]], tuple[Float[Tensor, "batch _ _"], ...]],
    layout: PriorLayout,
    images: UInt8[Tensor, "batch height width 3"],
    tiles: Sequence[Tile],
) -> tuple[Float[Tensor, "batch prior _"], ...]:
    """Give what `forward`, a network with these priors, says of whole images, asking it tile by tile."""
    batch, height, width = images.shape[:3]
    num_priors = sum(_num_priors(layout, height, width))
    stitched: list[Tensor] = []
    for tile in tiles:
        rows, columns = tile.rows, tile.columns
        answers = forward(images[:, rows.seen_start : rows.seen_stop, columns.seen_start : columns.seen_stop])
        if not stitched:
            stitched = [answer.new_empty((batch, num_priors, answer.shape[-1])) for answer in answers]
        for whole, answer in zip(stitched, answers, strict=True):
            _place(whole, answer, tile, height, width, layout)
    return tuple(stitched)


class _Cut:
    """One side cut into spans: how long the longest forward is, and all together."""

    def __init__(self, spans: list[Span]) -> None:
        self.spans = spans
        self.longest = max(map(_seen, spans))
        self.total = sum(map(_seen, spans))


def _cuts(side: int, stride: int, margin: int) -> list[_Cut]:
    """Give every way of cutting a side into equal parts, in steps of the stride."""
    num_strides = -(-side // stride)
    lengths = sorted({-(-num_strides // count) * stride for count in range(1, num_strides + 1)})
    return [
        _Cut(
            [
                Span(
                    start,
                    min(start + length, side),
                    max(0, start - margin),
                    min(side, start + length + margin),
                )
                for start in range(0, side, length)
            ]
        )
        for length in lengths
    ]


def _seen(span: Span) -> int:
    return span.seen_stop - span.seen_start


def _num_priors(layout: PriorLayout, height: int, width: int) -> list[int]:
    """Count the priors of each level."""
    return [-(-height // s) * -(-width // s) * layout.priors_per_cell for s in layout.strides_px]


def _place(whole: Tensor, answer: Tensor, tile: Tile, height: int, width: int, layout: PriorLayout) -> None:
    """Copy the answers of a tile's own cells to where they are in the whole image's."""
    rows, columns = tile.rows, tile.columns
    sizes = zip(
        layout.strides_px,
        whole.split(_num_priors(layout, height, width), dim=1),
        answer.split(_num_priors(layout, _seen(rows), _seen(columns)), dim=1),
        strict=True,
    )
    for stride, target, source in sizes:
        target_cells = _as_cells(target, height, width, stride)
        source_cells = _as_cells(source, _seen(rows), _seen(columns), stride)
        top, left = rows.start // stride, columns.start // stride
        bottom, right = -(-rows.stop // stride), -(-columns.stop // stride)
        skipped_rows, skipped_columns = rows.seen_start // stride, columns.seen_start // stride
        target_cells[:, top:bottom, left:right] = source_cells[
            :, top - skipped_rows : bottom - skipped_rows, left - skipped_columns : right - skipped_columns
        ]


def _as_cells(values: Tensor, height: int, width: int, stride: int) -> Tensor:
    """See one level's rows as `[batch, row, column, prior and value]`."""
    return values.view(len(values), -(-height // stride), -(-width // stride), -1)
