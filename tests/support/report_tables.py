"""Rows of an ablation and of compared protocols, for tests of the tables and figures made from them."""

import dataclasses
from collections.abc import Sequence
from typing import Final

import numpy as np

from pipeline.results.ablation import AblationRow, SweepRow
from pipeline.results.ablation_figures import AblationFigure, SweepFigure
from pipeline.results.ap import ApRow
from pipeline.results.protocols import ComparisonRow, line_name

SETTINGS: Final = ("easy", "medium", "hard")


def sweep_rows() -> list[SweepRow]:
    """The detector, two seeds of rank, and a training that diverged."""

    def row(setting: str, seed: int, confidence: str, hard: float) -> SweepRow:
        return SweepRow(
            setting=setting,
            seed=seed,
            row=AblationRow(
                split="val",
                detector="some-detector",
                protocol="single",
                confidence=confidence,
                training="",
                seconds=1.0,
                ap_easy=0.9,
                ap_medium=0.8,
                ap_hard=hard,
            ),
        )

    return [
        row("detector", 0, "predicted", 0.7),
        row("detector", 0, "oracle", 0.95),
        row("rank", 0, "ranked", 0.72),
        row("rank", 1, "ranked", 0.74),
        row("l2", 0, "ranked", float("nan")),
    ]


def sweep_figures() -> list[SweepFigure]:
    """What the detector and the first seed of rank leave for figures."""
    falling = np.linspace(1, 0, 5)
    found = []
    for number, (setting, confidence) in enumerate(
        [("detector", "predicted"), ("detector", "oracle"), ("rank", "ranked")], 1
    ):
        row = AblationFigure(
            detector="some-detector",
            confidence=confidence,
            kendall=number / 10,
            share=np.full(40, 1 / 40),
            overlap=np.full(51, 0.5),
            precision_easy=falling,
            recall_easy=falling[::-1],
            precision_medium=falling,
            recall_medium=falling[::-1],
            precision_hard=falling,
            recall_hard=falling[::-1],
        )
        found.append(SweepFigure(setting=setting, row=row))
    return found


def compared_rows(rows: Sequence[ApRow]) -> list[ComparisonRow]:
    """Single, rank, multi and 8k of the first rows' detector, each a point better than the one before."""
    lines = [
        ("single", "", "single", 80.0),
        ("single", "r", line_name("single", "rank"), 90.0),
        ("multi", "", "multi", 1234.0),
        ("8k", "", "8k", 700.0),
        ("8k", "r", line_name("8k", "rank-8k"), 710.0),
    ]
    found = []
    for number, (protocol, ranker, line, median_ms) in enumerate(lines):
        for setting in SETTINGS:
            first = next(row for row in rows if (row.setting, row.kind) == (setting, "official"))
            changed = dataclasses.replace(
                first, protocol=protocol, ranker=ranker, ap=0.6 + 0.01 * number, images=3
            )
            found.append(
                ComparisonRow(
                    **{field.name: getattr(changed, field.name) for field in dataclasses.fields(ApRow)},
                    line=line,
                    trained_on=0,
                    split_images=4,
                    oracle_ap=0.9,
                    median_ms=median_ms,
                    timed_images=2,
                    device="cpu",
                    threads=1,
                )
            )
    return found
