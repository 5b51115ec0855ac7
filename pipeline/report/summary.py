"""The first screen: for each detector, one sentence of what the ranker won, and AP of every confidence at a glance."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pipeline.ground_truth.truth import SETTINGS
from pipeline.report.tables import percent, points, share
from pipeline.results.ap import ApRow
from pipeline.results.protocols import ComparisonRow

Verdict = Literal["helped", "hurt", "no clear difference", "not tested", "no ranker"]

_MULTI = "multi"


@dataclass(frozen=True, slots=True)
class Mark:
    """AP of one confidence in one setting."""

    name: str
    style: str
    """A class name of the page's style sheet."""
    text: str
    """AP in percent."""
    at: float
    """Where AP lies on the axis, 0..1."""
    low: float
    """Where its interval begins; `at` where there is none."""
    high: float


@dataclass(frozen=True, slots=True)
class Strip:
    """One setting: a row for each confidence on a common axis."""

    setting: str
    marks: list[Mark]
    left: str
    """What the axis begins with, in percent; it ends with 100."""

    @property
    def alt(self) -> str:
        """The strip in words."""
        return f"{self.setting}: " + ", ".join(f"{mark.name} {mark.text}" for mark in self.marks)


@dataclass(frozen=True, slots=True)
class Summary:
    """One detector on the first screen."""

    detector: str
    verdict: Verdict
    sentence: str
    strips: list[Strip]
    remark: str
    """What a mark with a dagger stands for; empty without one."""


def summary(rows: Sequence[ApRow], compared: Sequence[ComparisonRow]) -> Summary:
    """What one detector's rows say; `compared` are its rows of protocols over the same images, or none."""
    official = [row for row in rows if row.kind == "official" and row.setting in SETTINGS]
    multi = {row.setting: row for row in compared if row.line == _MULTI}
    is_part = any(row.images < row.split_images for row in multi.values())
    # an oracle without intervals, and multi, have none: NaN stays out of the minimum
    known = [row.ap for row in (*official, *multi.values()) if not math.isnan(row.ap)]
    lowest = math.floor(10 * min(known, default=0.0)) / 10
    verdict, sentence = _judged(official)
    strips = [
        _strip(setting, [row for row in official if row.setting == setting], multi.get(setting), lowest)
        for setting in SETTINGS
        if any(row.setting == setting for row in official)
    ]
    return Summary(official[0].detector, verdict, sentence, strips, _remark(compared) if is_part else "")


def _judged(official: Sequence[ApRow]) -> tuple[Verdict, str]:
    """Whether ranking helped in the hardest setting that keeps faces, as a word and as a sentence."""
    known = [row for row in official if not math.isnan(row.ap)]
    setting = next((name for name in reversed(SETTINGS) if any(row.setting == name for row in known)), None)
    if setting is None:
        return "not tested", "No setting keeps a face of these images, so that there is no AP."
    own = {(row.confidence, row.is_all): row for row in known if row.setting == setting}
    predicted, ranked = own["predicted", False], own.get(("ranked", False))
    bound = own.get(("oracle", True))
    if ranked is None:
        reach = (
            f"; with the oracle's confidences the same boxes would reach {percent(bound.ap)}" if bound else ""
        )
        return "no ranker", (
            f"AP {setting} is {percent(predicted.ap)}{reach}. No ranker was applied: `crface train` and "
            "`crface rank` make and apply one."
        )
    moved = f"AP {setting} went from {percent(predicted.ap)} to {percent(ranked.ap)} by ranking"
    gap = "" if math.isnan(ranked.recovered) else f" {_of_the_gap(ranked.recovered)}"
    if math.isnan(ranked.gain_low):
        return "not tested", f"{moved}: {points(ranked.gain)} points, without an interval.{gap}"
    interval = f"{points(ranked.gain)} points (95 % interval {points(ranked.gain_low)} to {points(ranked.gain_high)})"
    if not ranked.is_gain_real:
        return "no clear difference", f"{moved}: {interval}, which chance may explain."
    verdict: Verdict = "helped" if ranked.gain > 0 else "hurt"
    return verdict, f"{moved}: {interval}, more than chance explains.{gap}"


def _of_the_gap(recovered: float) -> str:
    if recovered >= 0:
        return f"That is {share(recovered)} of the way to the oracle."
    return "It moved away from the oracle."


def _strip(setting: str, official: Sequence[ApRow], multi: ComparisonRow | None, lowest: float) -> Strip:
    def at(ap: float) -> float:
        return round(min(max((ap - lowest) / (1 - lowest), 0.0), 1.0), 4) if lowest < 1 else 1.0

    def mark(name: str, style: str, row: ApRow) -> Mark:
        has_interval = not math.isnan(row.ap_low)
        low, high = (row.ap_low, row.ap_high) if has_interval else (row.ap, row.ap)
        return Mark(name, style, percent(row.ap), at(row.ap), at(low), at(high))

    by_name = {(row.confidence, row.is_all): row for row in official if not math.isnan(row.ap)}
    marks = [
        mark(name, name, by_name[name, False]) for name in ("predicted", "ranked") if (name, False) in by_name
    ]
    if multi is not None and not math.isnan(multi.ap):
        marks.append(mark("multi†" if multi.images < multi.split_images else "multi", "multi", multi))
    if ("oracle", True) in by_name:
        marks.append(mark("oracle", "oracle", by_name["oracle", True]))
    return Strip(setting, marks, f"{100 * lowest:.0f}")


def _remark(compared: Sequence[ComparisonRow]) -> str:
    """What multi is to be compared with where it was measured on fewer images."""
    first = compared[0]
    lines = {row.line: row for row in compared if row.setting == SETTINGS[-1]}
    beside = ", ".join(
        f"{name} {percent(lines[line].ap)}"
        for line, name in (("single", "predicted"), ("single, rank", "ranked"), (_MULTI, "multi"))
        if line in lines
    )
    part = f"{first.images} of the {first.split_images} images only"
    return f"† measured on {part}; on these, AP {SETTINGS[-1]} is: {beside}."
