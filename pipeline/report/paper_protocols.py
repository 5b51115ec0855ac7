"""Tables 3 and 4 of the paper: one scale, several scales and the ranker, on usual and on large images."""

from collections.abc import Iterator, Sequence

from pipeline.report.grid import Grid, Group, Row, Span, with_strongest
from pipeline.report.measured import Measured, ap_cells
from pipeline.results.paper import SCALES, SCALES_8K, TEST_8K, WIDER_VAL
from pipeline.results.protocols import ComparisonRow, ranker_name
from pipeline.results.text import milliseconds
from pipeline.workspace.layout import slug

_SCALES = ("single", "multi", "rank")
_SETTINGS = ("Easy", "Med", "Hard")


def scales_table(measured: Measured, notes: Sequence[str]) -> Grid | None:
    """Table 3 from the compared protocols; without them only single and rank, which have no times."""
    own = [r for r in measured.compared if r.protocol in ("single", "multi") and r.split == measured.split]
    lines = [(row.detector, _scale(row), *cells, milliseconds(row.median_ms)) for row, cells in _by_line(own)]
    order = list(dict.fromkeys(cells[0] for cells in lines))
    lines.sort(key=lambda cells: (order.index(cells[0]), _SCALES.index(cells[1])))
    where = measured.where
    if lines:
        where = f"{measured.data}, {measured.split}, {_images(own[0])}; {_machine(own[0])}"
    else:
        lines = [
            (first.detector, first.protocol if first.confidence == "predicted" else "rank", *cells, "")
            for first, cells in measured.official()
        ]
    if not lines:
        return None
    printed = [Row(cells, cells[:2] == ("HRNet (ours)", "rank")) for cells in SCALES]
    return Grid(
        "table-3-scales",
        "Table 3: one scale, several scales, and the ranker on one scale",
        ("Model", "Scale", *_SETTINGS, "Speed (ms)"),
        2,
        [
            Group(f"this run: {where}", with_strongest(lines, 4)),
            Group(f"{WIDER_VAL}; GPU", printed, is_paper=True),
        ],
        Span("AP (%)", 2, 3),
        notes,
    )


def large_tables(measured: Measured) -> list[Grid]:
    """Table 4 for each large protocol, with AP of the hard setting, on each split it was measured on."""
    rows = measured.compared
    return [_large_table(measured, *kind) for kind in dict.fromkeys(_large_kind(row) for row in rows) if kind]


def _large_kind(row: ComparisonRow) -> tuple[str, str] | None:
    """The protocol, without its `-multi`, and the split of a row that belongs into Table 4; None for others."""
    if row.protocol in ("single", "multi") or not (row.ranker or row.protocol.endswith("-multi")):
        return None
    return row.protocol.removesuffix("-multi"), row.split


def _large_table(measured: Measured, protocol: str, split: str) -> Grid:
    family = (protocol, f"{protocol}-multi")
    on_split = [row for row in measured.compared if row.split == split]
    # protocols of one pass that are compared on a split of large images alone: what the large one is to beat
    others = [
        row for row in on_split if split != measured.split and not row.ranker and _large_kind(row) is None
    ]
    own = [row for row in on_split if row.protocol in family or row in others]
    lines = [
        (row.detector, _large_scale(row, protocol), cells[-1], milliseconds(row.median_ms))
        for row, cells in _by_line(own)
    ]
    printed = [Row(cells, cells[1] == "rank 8k") for cells in SCALES_8K]
    where = f"{measured.data}, {split}, {_images(own[0])}, {protocol}; {_machine(own[0])}"
    return Grid(
        f"table-4-{slug(protocol)}" + ("" if split == measured.split else f"-{slug(split)}"),
        f"Table 4: large images ({protocol})",
        ("Model", "Scale", "AP (%)", "Speed (ms)"),
        2,
        [
            Group(f"this run: {where}", with_strongest(lines, 2)),
            Group(f"{TEST_8K}; GPU", printed, is_paper=True),
        ],
        None,
        [
            "This run's AP is that of the hard setting",
            "The paper's test set is not published: compare the gains, not the numbers",
        ],
    )


def _by_line(rows: Sequence[ComparisonRow]) -> Iterator[tuple[ComparisonRow, tuple[str, ...]]]:
    for key in dict.fromkeys((row.detector, row.line) for row in rows):
        own = [row for row in rows if (row.detector, row.line) == key]
        yield own[0], ap_cells(own)


def _scale(row: ComparisonRow) -> str:
    return "rank" if row.ranker else row.protocol


def _large_scale(row: ComparisonRow, protocol: str) -> str:
    if row.ranker:
        return ranker_name(row.ranker_of).replace("-", " ", 1)
    if row.protocol.endswith("-multi"):
        return "multi"
    return "single" if row.protocol == protocol else row.protocol


def _images(row: ComparisonRow) -> str:
    part = f"the same {row.images} of " if row.images < row.split_images else ""
    return f"{part}{row.split_images} images"


def _machine(row: ComparisonRow) -> str:
    threads = f", {row.threads} thread{'s' * (row.threads != 1)}" if row.device == "cpu" else ""
    return f"{row.device}{threads}"
