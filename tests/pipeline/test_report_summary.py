"""The first screen: one sentence for each detector, which says whether ranking helped, and on how firm a ground."""

import dataclasses
import math

from pipeline.report.summary import Summary, summary
from pipeline.results.ap import ApRow
from pipeline.results.protocols import ComparisonRow


def row(confidence: str, setting: str = "hard", *, candidates: str = "above 0.02", **numbers: float) -> ApRow:
    nan = math.nan
    found = {"ap": 0.5, "ap_low": nan, "ap_high": nan, "gain": nan, "gain_low": nan, "gain_high": nan}
    return ApRow(
        split="val",
        detector="d",
        weights="w",
        protocol="single",
        input_size="",
        fingerprint="f",
        confidence=confidence,  # type: ignore[arg-type]
        candidates=candidates,
        ranker="r" if confidence == "ranked" else "",
        ground_truth="g",
        iou=0.5,
        nms_iou=0.4,
        score_threshold=0.02,
        setting=setting,
        definition="official",
        kind="official",
        images=10,
        faces=10,
        **{"recovered": nan, **found, **numbers},
    )


def judged(**ranked: float) -> Summary:
    rows = [row("predicted", ap=0.6), row("ranked", **ranked), row("oracle", candidates="all", ap=0.9)]
    return summary(rows, [])


def test_a_gain_whose_interval_leaves_out_zero_has_helped():
    found = judged(ap=0.65, gain=0.05, gain_low=0.02, gain_high=0.08, recovered=1 / 6)
    assert found.verdict == "helped"
    assert found.sentence == (
        "AP hard went from 60.0 to 65.0 by ranking: +5.0 points (95 % interval +2.0 to +8.0), more than chance "
        "explains. That is 17 % of the way to the oracle."
    )


def test_a_loss_beyond_chance_is_called_one():
    found = judged(ap=0.55, gain=-0.05, gain_low=-0.08, gain_high=-0.02, recovered=-1 / 6)
    assert found.verdict == "hurt"
    assert "-5.0 points" in found.sentence
    assert "away from the oracle" in found.sentence


def test_a_gain_that_chance_may_explain_is_no_gain():
    found = judged(ap=0.62, gain=0.02, gain_low=-0.01, gain_high=0.05, recovered=0.1)
    assert found.verdict == "no clear difference"
    assert found.sentence.endswith("(95 % interval -1.0 to +5.0), which chance may explain.")


def test_without_intervals_nothing_is_claimed():
    found = judged(ap=0.65, gain=0.05, recovered=0.2)
    assert found.verdict == "not tested"
    assert "without an interval" in found.sentence


def test_without_a_ranker_it_says_what_could_be_won_and_how():
    found = summary([row("predicted", ap=0.6), row("oracle", candidates="all", ap=0.9)], [])
    assert found.verdict == "no ranker"
    assert "the same boxes would reach 90.0" in found.sentence
    assert "crface train" in found.sentence


def test_the_hardest_setting_that_keeps_a_face_is_told_and_none_is_no_error():
    rows = [row("predicted", "easy", ap=0.6), row("predicted", "hard", ap=math.nan)]
    assert summary(rows, []).sentence.startswith("AP easy is 60.0")
    assert summary([row("predicted", ap=math.nan)], []).verdict == "not tested"


def test_marks_lie_on_one_axis_for_all_settings_and_carry_their_intervals():
    rows = [
        row("predicted", "easy", ap=0.9, ap_low=0.8, ap_high=0.95),
        row("predicted", "hard", ap=0.65),
        row("oracle", "hard", candidates="all", ap=1.0),
    ]
    easy, hard = summary(rows, []).strips
    assert (easy.left, hard.left) == ("60", "60")
    (mark,) = easy.marks
    assert (mark.low, mark.at, mark.high) == (0.5, 0.75, 0.875)
    assert [(mark.name, mark.at) for mark in hard.marks] == [("predicted", 0.125), ("oracle", 1.0)]
    assert hard.alt == "hard: predicted 65.0, oracle 100.0"


def test_multi_scale_of_fewer_images_is_marked_and_set_beside_its_own_baseline():
    def compared(line: str, ap: float, split_images: int) -> ComparisonRow:
        values = {f.name: getattr(row("predicted", ap=ap), f.name) for f in dataclasses.fields(ApRow)}
        return ComparisonRow(
            **values,
            line=line,
            trained_on=0,
            split_images=split_images,
            oracle_ap=0.9,
            median_ms=1.0,
            timed_images=1,
            device="cpu",
            threads=1,
        )

    part = summary([row("predicted", ap=0.6)], [compared("single", 0.5, 20), compared("multi", 0.7, 20)])
    assert [mark.name for mark in part.strips[0].marks] == ["predicted", "multi†"]
    assert part.remark.endswith("10 of the 20 images only; on these, AP hard is: predicted 50.0, multi 70.0.")
    whole = summary([row("predicted", ap=0.6)], [compared("multi", 0.7, 10)])
    assert ([mark.name for mark in whole.strips[0].marks], whole.remark) == (["predicted", "multi"], "")
