"""The answer of an evaluation: one small table for all detectors, which says where ranking is told from chance."""

import math
from dataclasses import replace

from pipeline.results.ap import ApRow
from pipeline.results.summary import format_summary

PREDICTED = ApRow(
    split="val",
    detector="first",
    weights="abcdef0123456789",
    protocol="single",
    input_size="original",
    fingerprint="1",
    confidence="predicted",
    candidates="above 0.02",
    ranker="",
    ground_truth="",
    iou=0.5,
    nms_iou=0.4,
    score_threshold=0.02,
    setting="easy",
    definition="official",
    kind="official",
    ap=0.5,
    ap_low=0.4,
    ap_high=0.6,
    gain=math.nan,
    gain_low=math.nan,
    gain_high=math.nan,
    recovered=math.nan,
    images=7,
    faces=12,
)


def rows(
    detector: str, gain: float, low: float, high: float, *, is_ranked: bool = True, protocol: str = "single"
) -> list[ApRow]:
    """A detector of AP 50 % and oracle AP 90 %, whose gain is the same in all settings."""
    found = []
    for setting in ("easy", "medium", "hard"):
        first = replace(PREDICTED, detector=detector, protocol=protocol, setting=setting)
        ranked = replace(first, confidence="ranked", ap=0.5 + gain, gain=gain, gain_low=low, gain_high=high)
        oracle = replace(first, confidence="oracle", ap=0.9, gain=0.4, gain_low=0.3, gain_high=0.5)
        everything = replace(oracle, candidates="all", ap=1.0)
        exact = replace(first, kind="exact", ap=0.1)
        found += [first, exact, *([ranked] if is_ranked else []), oracle, everything]
    return [*found, replace(PREDICTED, detector=detector, setting="20-40 px", ap=0.3)]


def test_each_detector_has_a_line_a_setting_with_what_ranking_gained_and_a_mark_where_that_is_real() -> None:
    text = format_summary(
        [*rows("first", 0.02, 0.011, 0.03), *rows("second", -0.01, -0.02, 0.005, protocol="multi")]
    )
    assert text.splitlines() == [
        "ranking helps first (easy, medium, hard)",
        "",
        "official AP in % on val, 7 images, easy / medium / hard official; IoU 0.5, NMS",
        "0.4, score above 0.02",
        "          faces  predicted  ranked                   gain  oracle",
        "first (weights abcdef012345)",
        "  easy       12       50.0    52.0  +2.0 (+1.1 .. +3.0) *    90.0",
        "  medium     12       50.0    52.0  +2.0 (+1.1 .. +3.0) *    90.0",
        "  hard       12       50.0    52.0  +2.0 (+1.1 .. +3.0) *    90.0",
        "second, multi (weights abcdef012345)",
        "  easy       12       50.0    49.0  -1.0 (-2.0 .. +0.5)      90.0",
        "  medium     12       50.0    49.0  -1.0 (-2.0 .. +0.5)      90.0",
        "  hard       12       50.0    49.0  -1.0 (-2.0 .. +0.5)      90.0",
        "* the 95 % interval of the gain, had other images been drawn, excludes 0",
    ]


def test_what_helps_one_detector_and_hurts_another_is_said_first() -> None:
    text = format_summary([*rows("first", 0.02, 0.01, 0.03), *rows("second", -0.2, -0.3, -0.1)])
    assert text.startswith(
        "ranking helps first (easy, medium, hard); ranking hurts second (easy, medium,\nhard)\n"
    )


def test_a_gain_that_may_be_chance_is_no_gain() -> None:
    text = format_summary(rows("first", 0.02, -0.01, 0.03))
    assert text.startswith("no gain or loss by ranking is told from chance\n")
    assert " *" not in text


def test_without_intervals_there_is_neither_verdict_nor_mark() -> None:
    lines = format_summary(rows("first", 0.02, math.nan, math.nan)).splitlines()
    assert lines[0].startswith("official AP")
    assert lines[4].split() == ["easy", "12", "50.0", "52.0", "+2.0", "90.0"]


def test_without_a_ranker_there_is_neither_ranked_ap_nor_gain() -> None:
    lines = format_summary(rows("first", 0, 0, 0, is_ranked=False)).splitlines()
    assert lines[0].startswith("official AP")
    assert lines[2].split() == ["faces", "predicted", "oracle"]
    assert lines[4].split() == ["easy", "12", "50.0", "90.0"]


def test_a_setting_without_faces_has_dashes_and_large_losses_fit_80_columns() -> None:
    found = rows("a-detector.of.a.very.long.name:Detector", -0.315, -0.352, -0.281)
    found = [replace(row, ap=math.nan) if row.setting == "easy" else row for row in found]
    lines = format_summary(found).splitlines()
    assert next(line for line in lines if line.startswith("  easy")).split()[2:4] == ["-", "-"]
    assert max(map(len, lines)) <= 80
    assert format_summary([]) == ""
