"""The evaluate stage: AP by hand, what is left out and said, what is written, and when it is computed again."""

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from evaluation_world import (
    CANDIDATES,
    CONFIG,
    FACES,
    KEY,
    RANKED_SOURCE,
    REFINED,
    SOURCE,
    A,
    B,
    C,
    Run,
    rows,
)
from wider_folder import Picture, write_mats

from pipeline.cache.plan import plan_cache
from pipeline.cache.work import cache_block, finish_cache, prepare_cache
from pipeline.config.sections import CacheConfig, EvaluateConfig
from pipeline.dataset.index import update_index
from pipeline.errors import UserError
from pipeline.evaluate.detections import ORACLE, ORACLE_ALL, PREDICTED, RANKED, image_detections
from pipeline.evaluate.plan import EvaluationInput, plan_evaluate
from pipeline.evaluate.rows import recovered_share
from pipeline.evaluate.sources import Source
from pipeline.evaluate.work import evaluate
from pipeline.results.ap import ApRow, CurveRow, changes, read_ap, read_curves, read_notes
from pipeline.results.ap_text import format_table
from pipeline.results.findings import read_calibration, read_failures
from pipeline.workspace.layout import CandidateKey, Workspace
from pipeline.workspace.tables import as_json

SETTINGS = {"easy", "medium", "hard"}


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path)


@pytest.fixture
def ranked_run(run: Run) -> Run:
    run.data(Picture("event", "1", FACES)).candidates(rows(*CANDIDATES))
    return run.scores(np.array(REFINED, np.float32))


def ap(
    found: Sequence[ApRow], confidence: str, candidates: str, setting: str = "hard", kind: str = "official"
) -> float:
    (row,) = [
        row
        for row in found
        if (row.confidence, row.candidates, row.setting, row.kind) == (confidence, candidates, setting, kind)
    ]
    return row.ap


# ------------------------------------------------------------------------------------------------- by hand


@pytest.mark.parametrize("kind", ["official", "exact"])
@pytest.mark.parametrize("setting", ["easy", "medium", "hard"])
def test_each_confidence_has_the_ap_that_is_computed_by_hand(
    ranked_run: Run, setting: str, kind: str
) -> None:
    found = ranked_run.evaluate(RANKED_SOURCE).rows
    # A, a mistake, B; C is below the threshold: 1/3 at precision 1, 1/3 at 2/3
    assert ap(found, "predicted", "above 0.02", setting, kind) == pytest.approx(1 / 3 + 1 / 3 * 2 / 3)
    # A, B, and the mistake last; C stays below the threshold of the detector's confidence, whatever it says
    assert ap(found, "ranked", "above 0.02", setting, kind) == pytest.approx(2 / 3)
    assert ap(found, "oracle", "above 0.02", setting, kind) == pytest.approx(2 / 3)
    assert ap(found, "oracle", "all", setting, kind) == pytest.approx(1)


def test_the_recovered_share_of_the_gap_stands_with_the_ranked_rows_alone(ranked_run: Run) -> None:
    found = ranked_run.evaluate(RANKED_SOURCE).rows
    shares = [row.recovered for row in found if row.confidence == "ranked" and row.setting in SETTINGS]
    assert shares == pytest.approx([(2 / 3 - 5 / 9) / (1 - 5 / 9)] * 6)  # a quarter
    assert all(math.isnan(row.recovered) for row in found if row.confidence != "ranked")


def test_recovered_share_is_negative_where_ranking_lost_and_undefined_without_a_gap() -> None:
    assert recovered_share(0.5, 0.6, 0.9) == pytest.approx(0.25)
    assert recovered_share(0.5, 0.4, 0.9) == pytest.approx(-0.25)
    assert math.isnan(recovered_share(0.5, 0.5, 0.5))
    assert math.isnan(recovered_share(0.5, 0.6, 0.4))
    assert math.isnan(recovered_share(math.nan, 0.6, 0.4))


def test_without_a_ranker_there_are_no_ranked_rows(run: Run) -> None:
    run.data(Picture("event", "1", FACES)).candidates(rows(*CANDIDATES))
    found = run.evaluate(SOURCE).rows
    assert {(row.confidence, row.candidates) for row in found} == {
        ("predicted", "above 0.02"),
        ("oracle", "above 0.02"),
        ("oracle", "all"),
    }
    assert {row.ranker for row in found} == {""}


def test_suppression_follows_the_confidence_in_question() -> None:
    # the better placed of two overlapping boxes has the lower confidence
    well, badly = (0.0, 0.0, 60.0, 60.0), (0.0, 0.0, 60.0, 130.0)  # they overlap by 6 / 13
    candidates = rows((*badly, 0.9), (*well, 0.8))
    face = np.array([[0.0, 0.0, 60.0, 60.0]])
    found = image_detections(candidates, np.array([0.1, 0.7], np.float32), face, CONFIG)
    assert found[PREDICTED].tolist() == rows((*badly, 0.9)).tolist()
    assert found[RANKED].tolist() == rows((*well, 0.7)).tolist()
    assert found[ORACLE].tolist() == rows((*well, 1.0)).tolist()
    apart = image_detections(candidates, None, face, EvaluateConfig(nms_iou=0.5))
    assert apart[PREDICTED].tolist() == candidates.tolist()


def test_a_candidate_at_the_threshold_is_no_detection() -> None:
    candidates = rows((*A, 0.021), (*B, 0.02), (*C, 0.01))
    found = image_detections(candidates, None, np.zeros((0, 4)), CONFIG)
    assert found[PREDICTED].tolist() == candidates[:1].tolist()
    assert len(found[ORACLE]) == 1
    assert len(found[ORACLE_ALL]) == 1  # nobody is there: the first miss stands for all
    assert RANKED not in found


def test_an_image_without_candidates_has_no_detections() -> None:
    found = image_detections(rows(), np.zeros(0, np.float32), np.array([[0.0, 0.0, 9.0, 9.0]]), CONFIG)
    assert {variant.confidence: len(image) for variant, image in found.items()} == {
        "predicted": 0,
        "ranked": 0,
        "oracle": 0,
    }


def test_the_oracle_knows_the_faces_that_a_setting_ignores(run: Run) -> None:
    # the second face is ignored, being flagged invalid: its detection is confident, and does no harm
    picture = Picture("event", "1", FACES[:2], invalid=[2])
    run.data(picture).candidates(rows((*B, 0.9), (*A, 0.8)))
    found = run.evaluate().rows
    assert {row.faces for row in found if row.setting in SETTINGS} == {1}
    assert ap(found, "oracle", "all") == 1.0
    assert ap(found, "predicted", "above 0.02") == 1.0


# ----------------------------------------------------------------------------------- which images, and notes


def test_with_official_files_ap_is_over_the_part_that_the_index_has_and_says_so(run: Run) -> None:
    kept = {"easy": [1], "medium": [1, 2], "hard": [1, 2, 3]}
    here, absent = Picture("event", "1", FACES, kept), Picture("event", "2", FACES, kept)
    unknown = Picture("event", "3", FACES)
    run.data(here, unknown).candidates(rows(*CANDIDATES), rows())
    write_mats(run.root / "data" / "ground_truth", [here, absent])
    report = run.evaluate()
    assert {(row.setting, row.faces, row.images) for row in report.rows if row.setting in SETTINGS} == {
        ("easy", 1, 1),
        ("medium", 2, 1),
        ("hard", 3, 1),
    }
    assert {row.definition for row in report.rows if row.setting in SETTINGS} == {"official"}
    assert ap(report.rows, "predicted", "above 0.02", "easy") == 1.0
    assert ap(report.rows, "predicted", "above 0.02", "medium") == pytest.approx(1 / 2 + 1 / 2 * 2 / 3)
    first, second = report.notes
    assert first == "AP is over 1 of the 2 images of the ground truth; not in the index, or not readable: 1"
    assert second == "left out: 1 image not in the ground truth: event/3.jpg"
    assert read_notes(run.workspace) == report.notes


def test_damaged_images_are_left_out_by_name_and_stop_nothing(run: Run) -> None:
    run.data(*(Picture("event", str(number), FACES) for number in range(9)))
    for number in range(1, 8):
        (run.root / "data" / "WIDER_val" / "images" / "event" / f"{number}.jpg").write_bytes(b"damaged")
    run.candidates(rows(*CANDIDATES), *[None] * 7, rows(*CANDIDATES))
    report = run.evaluate()
    assert {row.images for row in report.rows} == {2}
    assert report.notes == [
        "left out: 7 images missing or damaged: "
        "event/1.jpg, event/2.jpg, event/3.jpg, event/4.jpg, event/5.jpg and 2 more"
    ]


def test_an_image_that_one_detector_could_not_read_is_left_out_for_all(run: Run) -> None:
    other = CandidateKey("val", "other", "single", "0" * 16)
    run.data(Picture("event", "1", FACES), Picture("event", "2", FACES))
    run.candidates(rows(*CANDIDATES), rows(*CANDIDATES)).candidates(rows(*CANDIDATES), None, key=other)
    report = run.evaluate(SOURCE, Source(key=other, weights="6" * 64))
    assert {(row.detector, row.images) for row in report.rows} == {("pretended", 1), ("other", 1)}
    assert report.notes == ["left out: 1 image unreadable when candidates were computed: event/2.jpg"]


def test_no_readable_image_at_all_is_an_error(run: Run) -> None:
    run.data(Picture("event", "1", FACES)).candidates(None)
    with pytest.raises(UserError, match="no image of the split 'val' could be read by every detector"):
        run.evaluate()


def test_an_image_with_no_candidates_is_evaluated_as_one_that_finds_nothing(run: Run) -> None:
    run.data(Picture("event", "1", FACES[:1]), Picture("event", "2", FACES[:1]))
    run.candidates(rows((*A, 0.9)), rows())
    report = run.evaluate()
    assert ap(report.rows, "predicted", "above 0.02") == 0.5
    assert report.notes == []


def test_missing_or_outdated_candidates_are_an_error_that_says_what_to_run(run: Run) -> None:
    run.data(Picture("event", "1", FACES))
    with pytest.raises(UserError, match="run `crface cache` first"):
        run.evaluate()
    run.candidates(rows(*CANDIDATES))
    run.data(Picture("event", "1", FACES), Picture("event", "2", FACES))
    with pytest.raises(UserError, match=r"1 image added.*run `crface cache` first"):
        run.evaluate()


def test_missing_or_outdated_scores_are_an_error_that_says_what_to_run(run: Run) -> None:
    run.data(Picture("event", "1", FACES)).candidates(rows(*CANDIDATES))
    with pytest.raises(UserError, match="run `crface rank` first"):
        run.evaluate(RANKED_SOURCE)
    run.scores(np.array(REFINED, np.float32)).data(Picture("event", "1", FACES), Picture("event", "2", FACES))
    run.candidates(rows(*CANDIDATES), rows(*CANDIDATES))
    with pytest.raises(UserError, match=r"1 image added.*run `crface rank` first"):
        run.evaluate(RANKED_SOURCE)


def test_progress_counts_each_image_once_a_source(ranked_run: Run) -> None:
    seen: list[tuple[int, int]] = []
    evaluate(ranked_run.input(SOURCE, RANKED_SOURCE), progress=lambda *done: seen.append(done))
    assert seen == [(1, 2), (2, 2)]


# ------------------------------------------------------------------------------------------ what is written


def test_every_row_of_the_table_says_under_which_conditions_its_number_holds(ranked_run: Run) -> None:
    report = ranked_run.evaluate(RANKED_SOURCE)
    table = pq.read_table(ranked_run.workspace.results / "ap.parquet")
    assert table.num_rows == 4 * (3 + 1 + 10) * 2  # confidences and candidates, settings, kinds
    ranked = next(row for row in table.to_pylist() if row["confidence"] == "ranked")
    assert ranked == {
        "split": "val",
        "detector": "pretended",
        "weights": "5" * 64,
        "protocol": "single",
        "input_size": "original",
        "fingerprint": KEY.fingerprint,
        "confidence": "ranked",
        "candidates": "above 0.02",
        "ranker": RANKED_SOURCE.ranker,
        "setting": "easy",
        "definition": "by height",
        "ground_truth": report.rows[0].ground_truth,
        "iou": 0.5,
        "nms_iou": 0.4,
        "score_threshold": 0.02,
        "kind": "official",
        "ap": pytest.approx(2 / 3),
        "ap_low": pytest.approx(2 / 3),  # of one image, drawn again and again
        "ap_high": pytest.approx(2 / 3),
        "gain": pytest.approx(1 / 9),
        "gain_low": pytest.approx(1 / 9),
        "gain_high": pytest.approx(1 / 9),
        "recovered": pytest.approx(0.25),
        "images": 1,
        "faces": 3,
    }
    assert [as_json(row) for row in read_ap(ranked_run.workspace)] == [as_json(row) for row in report.rows]


def test_ap_that_does_not_exist_is_null_on_disk_and_nan_in_python(run: Run) -> None:
    small = Picture("event", "1", [(0, 0, 20, 20)])  # counts in hard alone
    report = run.data(small).candidates(rows((0, 0, 20, 20, 0.9))).evaluate()
    assert math.isnan(ap(report.rows, "predicted", "above 0.02", "easy"))
    assert ap(report.rows, "predicted", "above 0.02", "hard") == 1.0
    stored = pq.read_table(run.workspace.results / "ap.parquet").to_pylist()
    assert {row["ap"] for row in stored if row["setting"] == "easy"} == {None}
    assert math.isnan(ap(read_ap(run.workspace), "predicted", "above 0.02", "easy"))
    assert json.loads(json.dumps(as_json(report.rows[0])))["ap"] is None


def test_curves_are_stored_beside_every_number(ranked_run: Run) -> None:
    found = ranked_run.evaluate(RANKED_SOURCE).rows
    curves = read_curves(ranked_run.workspace)

    def kind(row: ApRow | CurveRow) -> tuple[str, ...]:
        return row.confidence, row.candidates, row.setting, row.kind

    has_curves = [row for row in found if row.setting in {*SETTINGS, "all"}]
    assert sorted(map(kind, curves)) == sorted(map(kind, has_curves))
    exact = next(c for c in curves if (c.confidence, c.setting, c.kind) == ("predicted", "hard", "exact"))
    assert exact.recall.tolist() == pytest.approx([1 / 3, 2 / 3])
    assert exact.precision.tolist() == pytest.approx([1, 2 / 3])
    assert exact.thresholds.tolist() == pytest.approx([0.9, 0.1])
    assert {len(c.recall) for c in curves if c.kind == "official"} == {1000}


def test_the_same_run_writes_the_same_bytes(ranked_run: Run) -> None:
    folder = ranked_run.workspace.results
    ranked_run.evaluate(RANKED_SOURCE)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    ranked_run.evaluate(RANKED_SOURCE)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert sorted(before) == [
        *("ap.parquet", "calibration.parquet", "failures.parquet", "inputs.json", "pr_curves.parquet")
    ]


# ------------------------------------------------------------------------------- when it is computed again


def test_results_are_up_to_date_until_something_that_decides_them_changes(ranked_run: Run) -> None:
    def why(*sources: Source, config: EvaluateConfig = CONFIG) -> list[str]:
        return changes(ranked_run.workspace, plan_evaluate(ranked_run.input(*sources, config=config)))

    assert why(RANKED_SOURCE) == ["not computed yet"]
    ranked_run.evaluate(RANKED_SOURCE)
    assert why(RANKED_SOURCE) == []
    assert why(RANKED_SOURCE, config=CONFIG.model_copy(update={"nms_iou": 0.3})) == [
        "evaluate.nms_iou: 0.4 -> 0.3"
    ]
    (ranker,) = why(SOURCE)
    assert ranker.endswith("ranker: fedcba9876543210 -> ")
    text = ranked_run.root / "data" / "wider_face_split" / "wider_face_val_bbx_gt.txt"
    text.write_text(text.read_text().replace("200 0 60 60", "200 0 60 61"))
    assert [line.split(":")[0] for line in why(RANKED_SOURCE)] == [
        "ground truth",
        "labels",
    ]


@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        (lambda folder: (folder / "ap.parquet").unlink(), "ap.parquet is missing"),
        (
            lambda folder: (folder / "pr_curves.parquet").write_bytes(b"x"),
            "pr_curves.parquet is not what was written",
        ),
        (lambda folder: (folder / "failures.parquet").unlink(), "failures.parquet is missing"),
        (
            lambda folder: (folder / "calibration.parquet").write_bytes(b"x"),
            "calibration.parquet is not what",
        ),
        (lambda folder: (folder / "inputs.json").write_text("{"), "inputs.json is damaged"),
        (lambda folder: (folder / "inputs.json").unlink(), "not computed yet"),
    ],
)
def test_damaged_results_are_computed_again(
    ranked_run: Run, damage: Callable[[Path], None], complaint: str
) -> None:
    ranked_run.evaluate(RANKED_SOURCE)
    parts = plan_evaluate(ranked_run.input(RANKED_SOURCE))
    damage(ranked_run.workspace.results)
    (why,) = changes(ranked_run.workspace, parts)
    assert complaint in why
    ranked_run.evaluate(RANKED_SOURCE)
    assert changes(ranked_run.workspace, parts) == []


def test_reading_results_that_are_absent_or_damaged_is_an_error_that_says_what_to_run(
    ranked_run: Run,
) -> None:
    for read in (read_ap, read_curves, read_notes, read_failures, read_calibration):
        with pytest.raises(UserError, match=r"there are no results .*: run `crface evaluate`"):
            read(ranked_run.workspace)
    ranked_run.evaluate(SOURCE)
    for path in ranked_run.workspace.results.iterdir():
        path.write_bytes(b"damaged")
    for read in (read_ap, read_curves, read_notes, read_failures, read_calibration):
        with pytest.raises(UserError, match=r"damaged .*: run `crface evaluate` again"):
            read(ranked_run.workspace)


# ------------------------------------------------------------------------------------------------ the table


def test_the_printed_table_fits_80_columns_and_says_the_conditions_on_every_line(ranked_run: Run) -> None:
    text = format_table(ranked_run.evaluate(RANKED_SOURCE).rows)
    lines = text.splitlines()
    assert max(map(len, lines)) <= 80
    numbers = [
        line.split() for line in lines if line.split()[0] in ("predicted", "ranked", "oracle") and "(" in line
    ]
    assert numbers == [
        ["predicted", "original", "single", "0.4", ">", "0.02", *["55.6", "(55.6)"] * 3],
        ["ranked", "original", "single", "0.4", ">", "0.02", *["66.7", "(66.7)"] * 3],
        ["oracle", "original", "single", "0.4", ">", "0.02", *["66.7", "(66.7)"] * 3],
        ["oracle", "original", "single", "0.4", "all", *["100", "(100)"] * 3],
    ]
    assert "by height" in text
    assert "3 / 3 / 3 faces" in " ".join(lines)
    gain = "+11.1 (+11.1 .. +11.1)"
    assert " ".join(lines).endswith(
        "oracle gap recovered by the ranker fedcba987654: 25.0 % / 25.0 % / 25.0 % "
        f"gain by ranking {gain} / {gain} / {gain} "
        "in brackets the 95 % interval, had other images been drawn: real in easy, medium, hard"
    )


def test_the_printed_table_has_a_dash_where_there_is_no_number(run: Run) -> None:
    report = (
        run.data(Picture("event", "1", [(0, 0, 20, 20)])).candidates(rows((0, 0, 20, 20, 0.9))).evaluate()
    )
    predicted = next(line for line in format_table(report.rows).splitlines() if line.startswith("predicted"))
    assert predicted.split()[6:] == ["-", "(-)", "-", "(-)", "100", "(100)"]


# ------------------------------------------------------------------------------------- the published weights


def test_published_retinaface_on_real_photographs_has_the_known_predicted_and_oracle_ap(
    shared: Path, tmp_path: Path
) -> None:
    workspace = Workspace(tmp_path / "run")
    index = update_index(workspace, shared / "real" / "wider_val_restored", "val").index
    weights = shared / "models" / "retinaface_mobilenet0.25_published.pth"
    plan = plan_cache(workspace, index, f"retinaface-mobilenet0.25@{weights}", CacheConfig())
    prepare_cache(plan)
    for block in plan.blocks:
        assert cache_block(plan.spec, block).errors == ()
    finish_cache(plan)
    source = Source(key=plan.key, weights=str(plan.parts["detector"]["weights"]))
    report = evaluate(EvaluationInput(workspace=workspace, index=index, sources=[source], config=CONFIG))

    def percent(confidence: str, candidates: str) -> list[float]:
        return [
            100 * ap(report.rows, confidence, candidates, setting) for setting in ("easy", "medium", "hard")
        ]

    assert percent("predicted", "above 0.02") == pytest.approx([81.2, 81.2, 61.0], abs=0.3)
    assert percent("oracle", "all") == pytest.approx([98.9, 99.0, 90.7], abs=0.3)
    assert percent("oracle", "above 0.02") == pytest.approx([96.4, 96.2, 85.8], abs=0.3)
    assert {(row.setting, row.faces) for row in report.rows if row.setting in SETTINGS} == {
        ("easy", 280),
        ("medium", 598),
        ("hard", 1337),
    }
    assert report.notes == [
        "AP is over 100 of the 3226 images of the ground truth; not in the index, or not readable: 3126"
    ]
