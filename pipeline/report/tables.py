"""The AP tables: the rows of ap.parquet, one table for each detector and protocol, as a page shows them."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from pipeline.ground_truth.truth import SETTINGS
from pipeline.results.ap import ApRow

_ORDER = ("predicted", "ranked", "oracle")
_MEANING = {
    "predicted": "the detector's own",
    "ranked": "refined by the ranker",
    "oracle": "IoU with the closest face: the upper bound",
}
NONE = "–"  # noqa: RUF001 - an en dash is what a table without a value shows
"""What is shown where there is no number."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One setting's AP in percent: official, and exact."""

    official: str
    exact: str


@dataclass(frozen=True, slots=True)
class Line:
    """One confidence over the settings."""

    confidence: str
    meaning: str
    candidates: str
    cells: list[Cell]


@dataclass(frozen=True, slots=True)
class Table:
    """One detector under one protocol."""

    key: tuple[str, str]
    """The candidates' fingerprint, and the ranker's; the latter empty without one."""
    detector: str
    conditions: list[tuple[str, str]]
    """All that decides the numbers, in words."""
    settings: list[tuple[str, int]]
    """Each with the faces that it keeps."""
    definition: str
    images: int
    lines: list[Line]
    recovered: list[Cell] | None
    """Share of the oracle gap; None without a ranker."""


def ap_tables(rows: Sequence[ApRow]) -> list[Table]:
    """The rows as tables, in the order in which their detectors first appear; none for no rows."""

    def source(row: ApRow) -> tuple[str, ...]:
        return row.split, row.detector, row.weights, row.protocol, row.fingerprint

    order = list(dict.fromkeys(source(row) for row in rows))
    grouped = groupby(sorted(rows, key=lambda row: order.index(source(row))), key=source)
    return [_table(list(group)) for _, group in grouped]


def percent(ap: float) -> str:
    """An AP of 0..1 in percent with one decimal; a dash for NaN."""
    return NONE if ap != ap else f"{100 * ap:.1f}"


def points(difference: float) -> str:
    """A difference of two APs in points with its sign, none of them minus zero; a dash for NaN."""
    return NONE if difference != difference else f"{round(100 * difference, 1) + 0.0:+.1f}"


def share(recovered: float) -> str:
    """A share in whole percent; a dash for NaN."""
    return NONE if recovered != recovered else f"{round(100 * recovered) + 0.0:.0f} %"


def _table(rows: list[ApRow]) -> Table:
    first = rows[0]
    number: dict[tuple[str, ...], ApRow] = {
        (row.confidence, row.candidates, row.setting, row.kind): row for row in rows
    }
    settings = [setting for setting in SETTINGS if any(row.setting == setting for row in rows)]
    kinds = sorted(
        dict.fromkeys((row.confidence, row.candidates) for row in rows),
        key=lambda kind: (_ORDER.index(kind[0]), kind[1] == "all"),
    )

    def cell(confidence: str, candidates: str, setting: str, *, recovered: bool = False) -> Cell:
        values = []
        for kind in ("official", "exact"):
            row = number.get((confidence, candidates, setting, kind))
            values.append(NONE if row is None else share(row.recovered) if recovered else percent(row.ap))
        return Cell(*values)

    ranked = next((kind for kind in kinds if kind[0] == "ranked"), None)
    ranker = next((row.ranker for row in rows if row.ranker), "")
    return Table(
        key=(first.fingerprint, ranker),
        detector=first.detector,
        conditions=_conditions(first),
        settings=[
            (setting, next(row.faces for row in rows if row.setting == setting)) for setting in settings
        ],
        definition=first.definition,
        images=first.images,
        lines=[
            Line(
                confidence,
                _MEANING[confidence],
                candidates,
                [cell(confidence, candidates, setting) for setting in settings],
            )
            for confidence, candidates in kinds
        ],
        recovered=[cell(*ranked, setting, recovered=True) for setting in settings] if ranked else None,
    )


def _conditions(row: ApRow) -> list[tuple[str, str]]:
    return [
        ("split", row.split),
        ("protocol", row.protocol),
        ("input size", row.input_size),
        ("candidates", f"confidence above {row.score_threshold:g}, except where all are taken"),
        ("NMS", f"IoU {row.nms_iou:g}"),
        ("a hit", f"IoU {row.iou:g}"),
        ("weights", row.weights[:12]),
    ]
