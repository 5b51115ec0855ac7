"""The answer of an evaluation in one small table: what ranking gained for each detector, and what could be gained."""

import math
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final

from pipeline.ground_truth.truth import SETTINGS
from pipeline.results.ap import ApRow
from pipeline.results.text import WIDTH, aligned, counted, percent, points

MARK: Final = "*"
"""Beside a gain that is told from chance."""
_LEGEND: Final = f"{MARK} the 95 % interval of the gain, had other images been drawn, excludes 0"


@dataclass(frozen=True, slots=True)
class _Detector:
    """A detector's official AP of the candidates above the threshold."""

    name: str
    """With its protocol, unless that is `single`."""
    weights: str
    of: Mapping[tuple[str, str], ApRow]
    """The rows by confidence and setting."""

    def real_gains(self, sign: int) -> list[str]:
        """The settings in which ranking gained (1) or lost (-1), told from chance."""
        ranked = [row for (confidence, _), row in self.of.items() if confidence == "ranked"]
        return [row.setting for row in ranked if row.is_gain_real and row.gain * sign > 0]


def format_summary(rows: Iterable[ApRow]) -> str:
    """Official AP without and with the ranker, and the oracle's, all over the same candidates; empty for no rows.

    First a verdict, then three lines a detector, 80 columns wide; a gain stands with its 95 % interval, and with a
    mark where that excludes zero.
    """
    used = [row for row in rows if row.setting in SETTINGS and row.kind == "official" and not row.is_all]
    if not used:
        return ""
    detectors = list(_detectors(used))
    is_ranked = any(row.confidence == "ranked" for row in used)
    headings = ["", "faces", "predicted", *(("ranked", "gain") if is_ranked else ()), "oracle"]
    lines = [_line(detector, setting, is_ranked) for detector in detectors for setting in SETTINGS]
    heading, *table = aligned([headings, *lines])
    for number, detector in enumerate(detectors):
        table.insert(number * (1 + len(SETTINGS)), f"{detector.name} (weights {detector.weights[:12]})")
    text = [*textwrap.wrap(_conditions(used[0]), WIDTH), heading, *table]
    if any(row.confidence == "ranked" and not math.isnan(row.gain_low) for row in used):
        text = [*textwrap.wrap(_verdict(detectors), WIDTH), "", *text, _LEGEND]
    return "\n".join(text)


def format_won(rows: Iterable[ApRow]) -> str:
    """What ranking won, in one sentence for all detectors; empty without ranked confidences."""
    used = [row for row in rows if row.setting in SETTINGS and row.kind == "official" and not row.is_all]
    detectors = [one for one in _detectors(used) if ("ranked", SETTINGS[0]) in one.of]
    if not detectors:
        return ""
    return f"ranking, in AP points of {' / '.join(SETTINGS)}: " + "; ".join(
        f"{one.name} "
        + " / ".join(points(one.of["ranked", setting].gain) for setting in SETTINGS)
        + f" ({percent(one.of['predicted', 'hard'].ap)} -> {percent(one.of['ranked', 'hard'].ap)} on hard, the "
        f"oracle has {percent(one.of['oracle', 'hard'].ap)})"
        for one in detectors
    )


def _detectors(rows: Sequence[ApRow]) -> Iterator[_Detector]:
    for (name, protocol, weights, _), group in groupby(
        rows, key=lambda row: (row.detector, row.protocol, row.weights, row.fingerprint)
    ):
        shown = name if protocol == "single" else f"{name}, {protocol}"
        yield _Detector(shown, weights, {(row.confidence, row.setting): row for row in group})


def _line(detector: _Detector, setting: str, is_ranked: bool) -> list[str]:
    predicted, oracle = detector.of["predicted", setting], detector.of["oracle", setting]
    cells = [f"  {setting}", str(predicted.faces), percent(predicted.ap)]
    if is_ranked:
        ranked = detector.of["ranked", setting]
        cells += [percent(ranked.ap), _gain(ranked)]
    return [*cells, percent(oracle.ap)]


def _gain(row: ApRow) -> str:
    has_interval = not math.isnan(row.gain_low)
    interval = f" ({points(row.gain_low)} .. {points(row.gain_high)})" if has_interval else ""
    return f"{points(row.gain)}{interval} {MARK if row.is_gain_real else ' '}"


def _verdict(detectors: Sequence[_Detector]) -> str:
    """Where ranking helps and where it hurts, as far as that is told from chance."""
    found = [
        f"ranking {verb} "
        + ", ".join(f"{one.name} ({', '.join(of)})" for one in detectors if (of := one.real_gains(sign)))
        for verb, sign in (("helps", 1), ("hurts", -1))
        if any(one.real_gains(sign) for one in detectors)
    ]
    return "; ".join(found) or "no gain or loss by ranking is told from chance"


def _conditions(row: ApRow) -> str:
    return (
        f"official AP in % on {row.split}, {counted(row.images, 'image')}, {' / '.join(SETTINGS)} {row.definition}; "
        f"IoU {row.iou:g}, NMS {row.nms_iou:g}, score above {row.score_threshold:g}"
    )
