"""An image cut into tiles that overlap by the network's receptive field, so that the outputs are those of the whole.

A tile begins on a multiple of the coarsest stride, so its cells are those of the whole image. Only outputs at least
a margin (`detectors.forward.receptive_field`) away from a cut are used; at the image's own edges there is none.
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
    """A tile along one side of the image: `start:stop` is used, `seen_start:seen_stop` is what the network sees."""

    start: int
    stop: int
    seen_start: int
    seen_stop: int


@dataclass(frozen=True, slots=True)
class Tile:
    """A part of an image; the parts `start:stop` of all tiles cover the image without overlap."""

    rows: Span
    columns: Span


def plan_tiles(height: int, width: int, stride: int, margin: int, max_pixels: int) -> list[Tile]:
    """The tiles with the fewest pixels to compute, none larger than `max_pixels` if that is possible.

    Overlaps are computed repeatedly, so cuts that compute more than four times the image are excluded. If none of
    the others is fine enough, the result is the one with the smallest tiles. `margin` is a multiple of `stride`.
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
    """The outputs of `forward`, a network with these priors, for whole images, computed tile by tile."""
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
    """One side cut into spans: the longest span that the network sees, and the total of them."""

    def __init__(self, spans: list[Span]) -> None:
        self.spans = spans
        self.longest = max(map(_seen, spans))
        self.total = sum(map(_seen, spans))


def _cuts(side: int, stride: int, margin: int) -> list[_Cut]:
    """Every way to cut a side into equal parts, in steps of the stride."""
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
    """The number of priors on each level."""
    return [-(-height // s) * -(-width // s) * layout.priors_per_cell for s in layout.strides_px]


def _place(whole: Tensor, answer: Tensor, tile: Tile, height: int, width: int, layout: PriorLayout) -> None:
    """Copy the outputs of a tile's own cells to their place in the whole image's."""
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
    """One level's rows viewed as `[batch, row, column, prior and value]`."""
    return values.view(len(values), -(-height // stride), -(-width // stride), -1)
