"""What users may rely on in a sweep: nothing is trained twice, its AP is the evaluation's, it shows the spread."""

import os
import signal
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from interrupted import StoppedError, interrupt_after
from ranker_world import World, small_config

from crface import losses
from pipeline.config.sections import EvaluateConfig, RunConfig
from pipeline.errors import UsageError
from pipeline.evaluate.plan import EvaluationInput
from pipeline.evaluate.sources import Source
from pipeline.evaluate.work import measure
from pipeline.rank.plan import plan_rank
from pipeline.rank.work import finish_rank, prepare_rank, rank_block
from pipeline.results.ablation import AblationRow, SweepRow, task_file
from pipeline.studies.ablation import (
    AblationPlan,
    SplitCandidates,
    ablation_block,
    configured,
    plan_ablation,
    settings_of,
)
from pipeline.studies.ablation_table import format_sweep, sweep_figures, sweep_rows
from pipeline.train.plan import plan_train
from pipeline.train.work import train
from workflows.cluster.open import open_cluster
from workflows.spread.scatter import run_blocks

BASE = small_config()


def planned(
    world: World, *settings: str, sweep: str = "losses", num_seeds: int = 1, iterations: int = 2
) -> AblationPlan:
    split = SplitCandidates(world.index(), (world.key(),))
    config = RunConfig(
        train=small_config(iterations=iterations, checkpoint_every=4), evaluate=EvaluateConfig(resamples=0)
    )
    return plan_ablation(
        world.workspace,
        sweep,
        split,
        split,
        config,
        num_seeds,
        settings,  # type: ignore[arg-type]
    )


def carried_out(plan: AblationPlan) -> list[str]:
    return [ablation_block(plan.spec, block) for block in plan.blocks]


def test_only_what_is_missing_is_trained_whichever_sweep_asks_for_it(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.cache()
    assert carried_out(planned(world, "rank", "l2")) == ["detector", "rank", "l2"]
    assert planned(world, "rank", "l2").blocks == []
    more = planned(world, "rank", "l2", num_seeds=2)
    assert [(task.setting, task.seed) for task in more.spec.tasks] == [("rank", 1), ("l2", 1)]
    pairs = planned(world, "1", "3", sweep="pairs")  # BASE has 3 pairs: that ranker is there
    assert [task.setting for task in pairs.spec.tasks] == ["1"]
    task_file(world.workspace, more.tasks[1].fingerprint).write_bytes(b"cut")
    assert [task.setting for task in planned(world, "rank", "l2").spec.tasks] == ["rank"]


def test_the_sweeps_are_the_papers_tables_and_change_nothing_else() -> None:
    assert set(settings_of("losses")) == set(losses.names())
    assert settings_of("pairs") == ("1", "2", "3", "5", "10", "20", "50", "100")
    assert configured(BASE, "losses", "l1", 7) == BASE.model_copy(update={"loss": "l1", "seed": 7})
    assert configured(BASE, "pairs", "50", 0) == BASE.model_copy(update={"num_pairs": 50})


def test_a_setting_that_the_sweep_does_not_have_is_refused_with_those_there_are(tmp_path: Path) -> None:
    world = World(tmp_path)
    with pytest.raises(UsageError, match=r"losses has no setting 10; choose from cross-entropy, l1, "):
        planned(world, "10")


def test_its_ap_is_that_of_ranking_and_evaluating(tmp_path: Path) -> None:
    world = World(tmp_path)
    key, index = world.cache(), world.index()
    plan = planned(world, "rank")
    carried_out(plan)
    file = train(plan_train(world.workspace, index, [key], configured(plan.spec.train, "losses", "rank", 0)))
    ranking = plan_rank(world.workspace, index, key, file, 4, above=0.02)
    prepare_rank(ranking)
    for block in ranking.blocks:
        rank_block(ranking.spec, block)
    finish_rank(ranking)
    source = Source(key=key, weights="", ranker=ranking.spec.ranker)
    measured = measure(
        EvaluationInput(
            workspace=world.workspace, index=index, sources=[source], config=EvaluateConfig(resamples=0)
        )
    )
    curves = {
        (curve.confidence, curve.candidates, curve.setting): curve
        for curve in measured.curves
        if curve.kind == "official"
    }
    for row in (one.row for one in sweep_figures(plan)):
        candidates = "all" if row.confidence == "oracle" else "above 0.02"
        for setting in ("easy", "medium", "hard"):
            curve = curves[row.confidence, candidates, setting]
            np.testing.assert_allclose(getattr(row, f"precision_{setting}"), curve.precision)
            np.testing.assert_allclose(getattr(row, f"recall_{setting}"), curve.recall)
        tau = [c.kendall for c in measured.calibration if (c.confidence, c.target) == (row.confidence, "hit")]
        assert row.confidence == "oracle" or [row.kendall] == pytest.approx(tau, nan_ok=True)
    for row in (one.row for one in sweep_rows(plan)):
        candidates = "all" if row.confidence == "oracle" else "above 0.02"
        for setting in ("easy", "medium", "hard"):
            expected = [
                other.ap
                for other in measured.rows
                if (other.confidence, other.setting, other.kind, other.candidates)
                == (row.confidence, setting, "official", candidates)
            ]
            assert [getattr(row, f"ap_{setting}")] == pytest.approx(expected, nan_ok=True)
    assert {one.row.confidence for one in sweep_rows(plan)} == {"predicted", "ranked", "oracle"}


def test_a_training_that_was_cut_off_goes_on_and_leaves_no_checkpoints(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.cache()
    plan = planned(world, "rank", iterations=6)
    training = plan_train(world.workspace, world.index(), [world.key()], plan.spec.train)
    with pytest.raises(StoppedError):
        train(training, progress=interrupt_after(5))
    begun = (training.folder / "metrics.csv").read_text().split()
    carried_out(plan)
    ended = (training.folder / "metrics.csv").read_text().split()
    assert ended[: len(begun)] == begun
    assert len(ended) == 7
    assert training.ranker_file.is_file()
    assert not list((training.folder / "checkpoints").glob("*"))


def test_a_training_that_diverges_is_a_dash_and_the_sweep_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(tmp_path)
    world.cache()
    create = losses.create
    monkeypatch.setattr(
        losses,
        "create",
        lambda name, *rest: (
            (lambda refined, _: refined.sum() * float("nan")) if name == "l2" else create(name, *rest)
        ),
    )
    plan = planned(world, "l2", "rank")
    assert carried_out(plan) == ["detector", "l2", "rank"]
    line = next(
        one for one in format_sweep(plan, sweep_rows(plan), "a test").split("\n") if one.startswith("l2")
    )
    assert line.split() == ["l2", "-", "-", "-", "95.1", "94.3", "90.4"]
    assert {one.setting for one in sweep_figures(plan)} == {"detector", "rank"}


def test_the_table_has_mean_and_deviation_beside_the_papers_numbers(tmp_path: Path) -> None:
    plan = planned(World(tmp_path), "rank", "varifocal", num_seeds=2)
    row = AblationRow(
        split="train", detector="pretended", protocol="single", confidence="ranked", training="", seconds=0.0,
        ap_easy=0.8, ap_medium=0.7, ap_hard=0.5,
    )  # fmt: skip
    rows = [
        SweepRow(setting="detector", seed=0, row=replace(row, confidence="predicted")),
        SweepRow(setting="rank", seed=0, row=row),
        SweepRow(setting="rank", seed=1, row=replace(row, ap_easy=0.82)),
    ]
    table = format_sweep(plan, rows, "a test")
    lines = {line.split("  ")[0]: " ".join(line.split()) for line in table.split("\n") if line}
    assert lines["detector"] == "detector 80.0 70.0 50.0 95.8 95.2 91.5"
    assert lines["rank"] == "rank 81.0 ±1.4 70.0 ±0.0 50.0 ±0.0 96.9 96.2 92.7"
    assert lines["varifocal (0 of 2)"] == "varifocal (0 of 2) - - -"
    assert max(map(len, table.split("\n"))) <= 80


def test_a_killed_worker_is_replaced_and_its_training_goes_on(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.cache()
    plan = planned(world, "rank", iterations=40)
    training = plan_train(world.workspace, world.index(), [world.key()], plan.spec.train)
    killed = threading.Event()
    with open_cluster("local:1") as client:

        def kill_the_worker() -> None:
            while not list(training.folder.glob("checkpoints/step-*")):
                time.sleep(0.02)
            os.kill(client.run(os.getpid).popitem()[1], signal.SIGKILL)
            killed.set()

        threading.Thread(target=kill_the_worker, daemon=True).start()
        outcome = run_blocks(client, ablation_block, plan.spec, plan.blocks, lambda _: None)
    assert killed.is_set()
    assert (sorted(outcome.done), outcome.set_aside) == (["detector", "rank"], [])
    assert len((training.folder / "metrics.csv").read_text().split()) == 41
    assert len(list(training.folder.glob("events.out*"))) == 2
