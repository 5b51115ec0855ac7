"""Evaluation from parts: by hand, and the same numbers for any block size and order, in records and in sums."""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from detection_sets import rows
from evaluation_world import CANDIDATES, FACES, RANKED_SOURCE, REFINED, A, B, Run
from wider_folder import Picture

import pipeline.evaluate.work
from pipeline.blocks.plan import Block
from pipeline.config.sections import EvaluateConfig
from pipeline.errors import UserError
from pipeline.evaluate.labels import open_labels
from pipeline.evaluate.spec import in_threads
from pipeline.evaluate.work import Measured, evaluation_blocks, measure
from workflows.spread.evaluation import evaluation_runner

CONFIG = EvaluateConfig(resamples=20)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Seven images with faces found, missed and doubled; one has no face, one no candidate."""
    generator = np.random.default_rng(3)
    run = Run(tmp_path_factory.mktemp("world"))
    run.data(*(Picture("event", str(number), FACES[: number % 4]) for number in range(7)))
    images, scores = [], []
    for number in range(7):
        boxes = np.array(CANDIDATES, np.float32)[:, :4]
        near = np.concatenate([boxes, boxes + generator.normal(0, 8, boxes.shape)]).astype(np.float32)
        confidence = generator.random((len(near), 1)).astype(np.float32)
        found = np.concatenate([near, confidence], axis=1) if number != 4 else rows().astype(np.float32)
        images.append(found[np.argsort(-found[:, 4])])
        scores.append(generator.random(len(found)).astype(np.float32))
    return run.candidates(*images).scores(*scores)


def measured(run: Run, blocks: Callable[[Sequence[Block]], Sequence[Block]] = list) -> Measured:
    def in_other_blocks(function, spec, planned, on_part) -> None:
        in_threads(function, spec, blocks(planned), on_part)

    return measure(run.input(RANKED_SOURCE), run=in_other_blocks)


def numbers(found: Measured) -> list[float]:
    tables = (found.rows, found.curves, found.failures, found.calibration)
    values: list[float] = []
    for row in (row for table in tables for row in table):
        for value in dataclasses.asdict(row).values():
            if isinstance(value, int | float | np.ndarray):
                values += np.asarray(value, np.float64).ravel().tolist()
    return values


def regrouped(size: int, seed: int) -> Callable[[Sequence[Block]], Sequence[Block]]:
    def blocks(planned: Sequence[Block]) -> Sequence[Block]:
        rows_of_all = [row for block in planned for row in block.rows]
        again = evaluation_blocks(rows_of_all, size)
        return [again[place] for place in np.random.default_rng(seed).permutation(len(again))]

    return blocks


def test_blocks_are_evaluated_without_helping_threads_of_torch() -> None:
    before, seen = torch.get_num_threads(), list[int]()
    torch.set_num_threads(3)
    try:
        in_threads(lambda spec, block: torch.get_num_threads(), None, [None] * 5, seen.append)  # type: ignore[arg-type,list-item]
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)
    assert seen == [1] * 5


@pytest.mark.parametrize("size", [1, 3, 100])
@pytest.mark.parametrize("most_recorded", [10_000, 0])
def test_numbers_are_the_same_for_any_block_size_and_order_in_records_and_in_sums(
    world: Run, monkeypatch: pytest.MonkeyPatch, size: int, most_recorded: int
) -> None:
    expected = measured(world)
    monkeypatch.setattr(pipeline.evaluate.work, "MAX_RECORDED_IMAGES", most_recorded)
    found = measured(world, regrouped(size, seed=size))
    if most_recorded == 0:
        assert [note.text for note in found.notes] == ["no intervals: they are computed for at most 0 images"]
        without = dict.fromkeys(("ap_low", "ap_high", "gain_low", "gain_high"), float("nan"))
        expected = dataclasses.replace(
            expected, rows=[dataclasses.replace(row, **without) for row in expected.rows]
        )
    assert numbers(found) == pytest.approx(numbers(expected), abs=1e-12, nan_ok=True)


def test_a_cluster_gives_the_same_numbers_in_records_and_in_sums(
    world: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    with evaluation_runner("local:1") as run:
        found = measure(world.input(RANKED_SOURCE), run=run)
        monkeypatch.setattr(pipeline.evaluate.work, "MAX_RECORDED_IMAGES", 0)
        summed = measure(world.input(RANKED_SOURCE), run=run)
    monkeypatch.undo()
    expected = measured(world)
    assert numbers(found) == pytest.approx(numbers(expected), abs=1e-12, nan_ok=True)
    assert [row.ap for row in summed.rows] == pytest.approx(
        [row.ap for row in expected.rows], abs=1e-12, nan_ok=True
    )


def test_a_worker_reads_the_labels_of_its_block_from_the_index_and_no_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "pipeline.dataset.index_file._GROUP_ROWS", 2
    )  # read at the least; as many as a block has images
    run = Run(tmp_path)
    run.data(*(Picture("event", str(number), FACES[: 1 + number % 3]) for number in range(7)))
    run.candidates(*(rows(*CANDIDATES) for _ in range(7)))
    expected = measure(run.input())
    read: list[list[int]] = []
    read_groups = pq.ParquetFile.read_row_groups

    def noted(file: pq.ParquetFile, groups: list[int]) -> pa.Table:
        read.append(groups)
        return read_groups(file, groups)

    def refuse(path: Path) -> None:
        raise AssertionError("a worker reads the whole index")

    def as_workers_do(function, spec, blocks, on_part) -> None:
        open_labels.cache_clear()  # a worker has none to begin with
        with monkeypatch.context() as patch:
            patch.setattr(pq.ParquetFile, "read_row_groups", noted)
            patch.setattr("pipeline.dataset.index.read_index_file", refuse)
            for block in blocks:
                on_part(function(dataclasses.replace(spec, reads_block_alone=True), block))

    found = measure(run.input(), run=as_workers_do)
    assert read == [[0], [1], [2], [3]]
    assert numbers(found) == pytest.approx(numbers(expected), abs=1e-12, nan_ok=True)


def test_a_worker_that_sees_other_labels_is_refused(tmp_path: Path) -> None:
    run = Run(tmp_path)
    pictures = [Picture("event", str(number), FACES) for number in range(2)]
    run.data(*pictures).candidates(*(rows(*CANDIDATES) for _ in range(2)))

    def elsewhere(function, spec, blocks, on_part) -> None:
        run.data(dataclasses.replace(pictures[0], faces=FACES[:1]), pictures[1])
        assert run.index.labels_digest != spec.labels.labels_digest
        open_labels.cache_clear()
        for block in blocks:
            on_part(function(dataclasses.replace(spec, reads_block_alone=True), block))

    with pytest.raises(UserError, match="not the one that this command was started with"):
        measure(run.input(), run=elsewhere)


def test_failures_of_one_image_by_hand(tmp_path: Path) -> None:
    # A is found; B only below the threshold of the detector; C by no candidate; a box on nothing
    run = Run(tmp_path).data(Picture("event", "1", FACES))
    run.candidates(rows((*A, 0.9), (500, 500, 560, 560, 0.8), (*B, 0.01)))
    found = run.evaluate()
    whole = {row.confidence: row for row in found.failures if row.group == "all"}
    predicted = whole["predicted"]
    assert predicted.threshold == pytest.approx(0.9, abs=1e-3)
    assert (predicted.precision, predicted.recall) == (1.0, pytest.approx(1 / 3))
    counts = (predicted.faces, predicted.found, predicted.missed, predicted.fixable, predicted.unreachable)
    assert counts == (3, 1, 2, 1, 1)
    mistakes = (predicted.detections, predicted.duplicates, predicted.misplaced, predicted.background)
    assert mistakes == (1, 0, 0, 0)
    groups = {(row.group, row.value): row.faces for row in found.failures if row.confidence == "predicted"}
    assert groups[("height", "40-80 px")] == groups[("blur", "clear")] == groups[("invalid", "no")] == 3
    assert ("blur", "heavy") not in groups


def test_calibration_of_one_image_by_hand(tmp_path: Path) -> None:
    run = Run(tmp_path).data(Picture("event", "1", FACES)).candidates(rows(*CANDIDATES))
    found = {
        (row.confidence, row.target): row
        for row in run.scores(np.array(REFINED, np.float32)).evaluate(RANKED_SOURCE).calibration
    }
    # detections A 0.9 and B 0.1 are right, the one on nothing 0.8 is not
    predicted = found["predicted", "hit"]
    assert (predicted.boxes, predicted.ordered_images) == (3, 1)
    # as single precision has them, 0.9 and 0.8 are in the same bin, up to 0.9, of which half is right
    assert predicted.expected_error == pytest.approx((2 * (0.85 - 0.5) + 0.9) / 3)
    assert found["ranked", "overlap"].expected_error == pytest.approx((0.1 + 0.2 + 0.3) / 3)
    # in the order of the oracle (1, 1, 0): one of two pairs is right, or both; ties count as in tau-b
    assert predicted.kendall == pytest.approx(0.0)
    assert found["ranked", "hit"].kendall == pytest.approx(2 / np.sqrt(2 * 3))


def test_all_faces_and_bins_of_heights_are_settings_too(tmp_path: Path) -> None:
    small = Picture("event", "1", [(0, 0, 20, 20), (100, 0, 60, 60)], invalid=[2])
    run = Run(tmp_path).data(small).candidates(rows((0, 0, 20, 20, 0.9)))
    official = {
        row.setting: row for row in run.evaluate().rows if row.kind == "official" and row.candidates == "all"
    }
    assert (official["all"].faces, official["all"].ap, official["all"].definition) == (2, 0.5, "every face")
    assert (official["10-20 px"].faces, official["10-20 px"].ap) == (1, 1.0)
    assert (official["40-80 px"].faces, official["40-80 px"].ap) == (1, 0.0)
    assert official["20-40 px"].definition == "face height"


def test_resamples_switched_off_leave_gains_without_intervals(tmp_path: Path) -> None:
    run = Run(tmp_path).data(Picture("event", "1", FACES)).candidates(rows(*CANDIDATES))
    run.scores(np.array(REFINED, np.float32))
    found = run.evaluate(RANKED_SOURCE, config=EvaluateConfig(resamples=0)).rows
    (ranked,) = [
        row for row in found if (row.confidence, row.setting, row.kind) == ("ranked", "hard", "official")
    ]
    assert ranked.gain == pytest.approx(1 / 9)
    assert np.isnan([ranked.ap_low, ranked.gain_high]).all()
    assert not ranked.is_gain_real
