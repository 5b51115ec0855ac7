"""A ranker that is shown foreign pictures says so and leaves the detector's order; at home it is trusted fully."""

import dataclasses
from pathlib import Path

import cv2
import numpy as np
import pytest
from evaluation_world import CANDIDATES, FACES, KEY, RANKED_SOURCE, REFINED, Run, rows
from ranker_world import World, candidates, small_config
from ranking import planned_ranking, rank_all, save_ranker, save_ranker_at_home
from wider_folder import Picture

from crface import ranker
from crface.ranker import Gate
from pipeline.blocks.ledger import Ledger
from pipeline.blocks.plan import Cause, plan_blocks
from pipeline.blocks.store import ScoreStore
from pipeline.blocks.trust import (
    Judgement,
    judgement_file,
    read_judgement,
    trusted_digest,
    trusted_digests,
    write_judgement,
)
from pipeline.config.sections import RunConfig
from pipeline.dataset.index import planned_index
from pipeline.dataset.sample import sampled, sampled_by_folder
from pipeline.errors import UserError
from pipeline.evaluate.plan import plan_evaluate
from pipeline.rank import loading
from pipeline.rank.judging import judge
from pipeline.rank.plan import RankPlan
from pipeline.train.home import home_of
from pipeline.train.plan import plan_train
from pipeline.train.work import train
from pipeline.workspace.layout import CandidateKey
from workflows.commands import rank as command
from workflows.commands.plans import JobPlans
from workflows.job.job import Job

HALF = Judgement(images="", num_pictures=9, distance=1.1, usual_distance=0.75, trust=0.5)


@pytest.fixture(autouse=True)
def no_models_kept() -> None:
    loading.expected_ranker.cache_clear()
    planned_index.cache_clear()


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Pictures of noise, which the ranker of `file` is at home on."""
    return World(tmp_path / "home", num_images=12)


@pytest.fixture
def file(tmp_path: Path, world: World) -> Path:
    return save_ranker_at_home(tmp_path / "ranker.safetensors", world, world.cache())


def foreign(root: Path, num_images: int = 9) -> World:
    """Nearly black pictures."""
    made = World(root, num_images)
    for number in range(num_images):
        darken(made, number)
    return made


def darken(world: World, number: int) -> None:
    assert cv2.imwrite(str(world.images / f"{number}.png"), np.full((*world.size, 3), number, np.uint8))


def judged(world: World, file: Path, key: CandidateKey | None = None, **options: bool) -> Judgement | None:
    key = key or world.cache()
    return judge(world.workspace, world.index(), [key], file, **options).get(key)


def ranked(world: World, file: Path) -> RankPlan:
    """Judge, then rank what is missing; the plan of it."""
    key = world.cache()
    judged(world, file, key)
    plan = planned_ranking(world, key, file)
    rank_all(plan)
    return plan


def stored(plan: RankPlan) -> list[np.ndarray]:
    store = ScoreStore.open(plan.spec.workspace.scores(plan.spec.key, plan.spec.ranker))
    return [store.read(row) for row in range(store.num_images)]


def digests(plan: RankPlan) -> list[str]:
    found = Ledger(plan.spec.workspace.scores_ledger(plan.spec.key, plan.spec.ranker)).read()
    return [digest for number in sorted(found) for digest in found[number].row_digests]


def test_home_pictures_are_trusted_fully_and_filed_as_those_of_rankers_without_a_home(
    world: World, file: Path
) -> None:
    plan = ranked(world, file)
    judgement = judged(world, file)
    assert judgement is not None
    assert (judgement.trust, judgement.num_pictures, judgement.distance) == (1, 12, 0)
    assert digests(plan) == list(trusted_digests(world.index().row_digests, 0.02, 1.0))
    assert any(
        not np.array_equal(scores, candidates(row, len("pretended"))[:, 4])
        for row, scores in enumerate(stored(plan))
    )


def test_foreign_pictures_keep_the_detectors_confidences_and_it_is_said(tmp_path: Path, file: Path) -> None:
    world = foreign(tmp_path / "foreign")
    plan = ranked(world, file)
    for row, scores in enumerate(stored(plan)):
        assert np.array_equal(scores, candidates(row, len("pretended"))[:, 4])
    judgement = judged(world, file)
    assert judgement is not None
    assert judgement.trust == 0
    assert judgement.distance > 1.5
    assert judgement.sentence("yunet").startswith(
        "these pictures, or yunet's candidates on them, are unlike those"
    )
    assert judgement.sentence("yunet").endswith(
        f"trusted at 0 % (distance {judgement.distance:.1f}, usual up to 0.75), confidences are yunet's own"
    )


def test_a_ranker_that_asks_a_detector_keeps_half_of_its_trust_on_foreign_pictures(
    tmp_path: Path, world: World
) -> None:
    file = save_ranker_at_home(tmp_path / "second.safetensors", world, world.cache(), "second-opinion")
    at_home, abroad = judged(world, file), judged(foreign(tmp_path / "foreign"), file)
    assert at_home is not None
    assert abroad is not None
    assert (at_home.trust, abroad.trust) == (1, 0.5)
    assert abroad.distance > 1.5
    assert abroad.sentence("yunet").endswith(
        f"trusted at 50 % (distance {abroad.distance:.1f}, usual up to 0.75)"
    )


def test_a_candidate_store_of_another_detector_is_judged_by_itself(world: World, file: Path) -> None:
    key, other = world.cache(), world.cache("another")  # candidates that are drawn from the same distribution
    found = judge(world.workspace, world.index(), [key, other], file)
    assert set(found) == {key, other}
    assert found[key] == judged(world, file, key)


def test_adding_pictures_that_do_not_change_the_trust_refines_only_those(tmp_path: Path, file: Path) -> None:
    for world, trust in ((World(tmp_path / "like home", 12), 1), (foreign(tmp_path / "foreign"), 0)):
        ranked(world, file)
        count = world.num_images
        world.add_images(1)
        if trust == 0:
            darken(world, count)
        plan = ranked(world, file)
        assert plan.spec.trust == trust
        assert plan.reasons == ["1 image added"]


def test_another_trust_refines_all_again_and_the_same_whatever_was_before(tmp_path: Path, file: Path) -> None:
    world = World(tmp_path / "changing", 10)
    assert ranked(world, file).spec.trust == 1
    for number in range(9):
        darken(world, number)
    plan = ranked(world, file)
    assert plan.spec.trust == 0
    assert plan.reasons == [
        "9 images changed",
        "1 image refined with another trust, other opinions, or another threshold",
    ]
    at_once = World(tmp_path / "at once", 10)
    for number in range(9):
        darken(at_once, number)
    assert all(
        np.array_equal(one, other)
        for one, other in zip(stored(plan), stored(ranked(at_once, file)), strict=True)
    )
    for number in range(9):
        world.draw(number, seed=number)
    assert ranked(world, file).spec.trust == 1
    assert digests(plan) == list(trusted_digests(world.index().row_digests, 0.02, 1.0))


def test_judging_again_is_no_work(tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = foreign(tmp_path / "foreign")
    before = judged(world, file)
    monkeypatch.setattr("pipeline.rank.judging.decoded_images", None)
    assert judged(world, file) == before


def test_old_ranker_files_are_trusted_and_nothing_is_recorded(tmp_path: Path) -> None:
    world, file = foreign(tmp_path), save_ranker(tmp_path / "ranker.safetensors")
    assert judged(world, file) is None
    plan = ranked(world, file)
    assert (plan.spec.trust, plan.judgement) == (1, None)
    assert not judgement_file(world.workspace, plan.spec.key, plan.spec.ranker).exists()


def test_fewer_than_eight_pictures_are_not_judged(tmp_path: Path, file: Path) -> None:
    judgement = judged(foreign(tmp_path / "few", num_images=7), file)
    assert judgement is not None
    assert (judgement.trust, judgement.num_pictures) == (1, 7)


def test_trust_everywhere_is_trust_until_the_next_ranking_without_it(tmp_path: Path, file: Path) -> None:
    world = foreign(tmp_path / "foreign")
    judgement = judged(world, file, is_overruled=True)
    assert judgement is not None
    assert judgement.trust == 1
    plan = planned_ranking(world, world.cache(), file)
    rank_all(plan)
    assert digests(plan) == list(trusted_digests(world.index().row_digests, 0.02, 1.0))
    assert judged(world, file, is_overruled=True) == judgement
    again = ranked(world, file)
    assert again.reasons == ["9 images refined with another trust, other opinions, or another threshold"]


def test_an_image_that_cannot_be_read_just_now_leaves_the_judgement_open(tmp_path: Path, file: Path) -> None:
    world = foreign(tmp_path / "foreign")
    key, index = world.cache(), world.index()
    (world.images / "3.png").unlink()
    found = judge(world.workspace, index, [key], file)[key]
    assert (found.images, found.num_pictures) == ("", 8)
    darken(world, 3)
    found = judge(world.workspace, world.index(), [key], file)[key]
    assert (found.images, found.num_pictures) == (world.index().digest, 9)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"trust": 1}', b'{"trust": "x"}'])
def test_a_damaged_record_is_made_again(tmp_path: Path, file: Path, content: bytes) -> None:
    world = foreign(tmp_path / "foreign")
    plan, before = ranked(world, file), judged(world, file)
    judgement_file(world.workspace, plan.spec.key, plan.spec.ranker).write_bytes(content)
    assert read_judgement(world.workspace, plan.spec.key, plan.spec.ranker) is None
    assert judged(world, file) == before


def test_candidates_that_are_missing_are_asked_for_as_without_a_home(world: World, file: Path) -> None:
    world.add_images(1)
    with pytest.raises(UserError, match="not complete: 1 image added; run `crface cache` first"):
        judged(world, file, world.key())


def test_a_row_of_another_trust_is_not_called_changed() -> None:
    from pipeline.blocks.ledger import LedgerRow

    ledger = {0: LedgerRow(block=0, start=0, stop=2, row_digests=("a", "b"), shard_bytes=(1,))}
    wanted = [trusted_digest("a", 0.02, 0.25), trusted_digest("c", 0.02, 0.25), ""]
    (block,) = plan_blocks(wanted, ledger, {0: (1,)}, 4, 3)
    assert dict(block.causes) == {Cause.CHANGED: 1, Cause.TRUST: 1, Cause.ADDED: 1}


def test_a_row_without_an_image_has_no_trust() -> None:
    assert trusted_digest("", 0.02, 0.5) == ""
    assert len({trusted_digest("a", 0.02, trust) for trust in (0.0, 0.25, 0.5, 0.75, 1.0)}) == 5


# What is sampled.


def test_a_sample_hardly_changes_with_a_few_images_more(world: World) -> None:
    index = world.index()
    before = sampled(index, index.ok_rows, 8)
    assert before == sorted(before)
    assert len(before) == 8
    world.add_images(1)
    index = world.index()
    after = sampled(index, index.ok_rows, 8)
    assert len(set(before) - set(after)) <= 1


def test_folders_are_sampled_alike_whatever_their_size(world: World) -> None:
    index = world.index()
    renamed = tuple(
        dataclasses.replace(row, path=f"{'large' if row.row < 9 else 'small'}/{row.row}.png")
        for row in index.all_rows
    )
    index = dataclasses.replace(index, all_rows=renamed)
    chosen = sampled_by_folder(index, index.ok_rows, 6)
    assert sum(row >= 9 for row in chosen) == 3
    assert sampled_by_folder(index, index.ok_rows, 99) == list(index.ok_rows)


# Training.


def test_a_home_is_of_the_images_and_detectors_trained_on(world: World) -> None:
    from pipeline.blocks.store import CandidateStore

    stores = [CandidateStore.open(world.workspace.candidates(world.cache(name))) for name in ("one", "other")]
    (world.images / "3.png").unlink()  # read no more
    home = home_of(world.index(), range(12), stores)
    assert home is not None
    assert home.num_pictures.tolist() == [11, 11]
    assert home.detectors.tolist() == [0, 1]
    assert home_of(world.index(), range(3), stores) is None


@pytest.mark.parametrize(("gate", "has_home"), [(Gate(0.5), True), (Gate(0.0), False), (None, False)])
def test_a_ranker_with_a_gate_that_is_open_is_stored_with_its_home(
    world: World, monkeypatch: pytest.MonkeyPatch, gate: Gate | None, has_home: bool
) -> None:
    model = ranker.create("small", 16, 64)
    model.gate = gate
    monkeypatch.setattr("pipeline.train.run.Run.trained", lambda *_: model)
    plan = plan_train(world.workspace, world.index(), [world.cache()], small_config())
    assert (ranker.load(train(plan)).home is not None) == has_home


@pytest.mark.parametrize("name", ["per-box", "small"])
def test_a_ranker_that_looks_at_boxes_is_stored_with_the_smallest_that_it_was_trained_on(
    world: World, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    from pipeline.blocks.store import CandidateStore

    model = ranker.create(name, 16, 64)
    monkeypatch.setattr("pipeline.train.run.Run.trained", lambda *_: model)
    plan = plan_train(world.workspace, world.index(), [world.cache()], small_config(num_candidates=3))
    stored = ranker.load(train(plan)).smallest_side_px
    store = CandidateStore.open(world.workspace.candidates(plan.keys[0]))
    scale = plan.config.image_side_px / max(world.size)
    boxes = np.concatenate([store.read(row)[:3, :4] for row in range(12)])
    sides = np.sqrt((boxes[:, 2:] - boxes[:, :2]).prod(axis=1)) * scale
    assert stored == (pytest.approx(np.quantile(sides, 0.01), abs=0.01) if name == "per-box" else 0)


# Evaluation, plan and command.


def evaluated(tmp_path: Path, judgement: Judgement, trust: float) -> Run:
    """A data set with one picture, whose confidences were refined with a trust and a judgement recorded."""
    run = Run(tmp_path).data(Picture("event", "1", FACES)).candidates(rows(*CANDIDATES))
    run.scores(np.array(REFINED, np.float32))
    folder = run.workspace.scores_ledger(KEY, RANKED_SOURCE.ranker)
    row = Ledger(folder).read()[0]
    marked = trusted_digests(run.index.row_digests, 0.02, trust)
    Ledger(folder).commit(dataclasses.replace(row, row_digests=marked))
    write_judgement(run.workspace, KEY, RANKED_SOURCE.ranker, judgement)
    return run


def test_an_evaluation_says_where_the_ranker_was_trusted_less(tmp_path: Path) -> None:
    notes = evaluated(tmp_path, HALF, 0.5).evaluate(RANKED_SOURCE).notes
    assert "pretended: ranker trusted 50 % (distance 1.1, usual up to 0.75)" in notes
    assert max(map(len, notes)) <= 80


def test_an_evaluation_waits_for_confidences_refined_with_the_trust_of_now(tmp_path: Path) -> None:
    run = evaluated(tmp_path, HALF, 1.0)
    with pytest.raises(
        UserError,
        match="1 image refined with another trust, other opinions, or another threshold; run `crface rank` first",
    ):
        run.evaluate(RANKED_SOURCE)


def test_an_evaluation_is_out_of_date_when_the_trust_changes_and_not_before_there_was_any(
    tmp_path: Path,
) -> None:
    run = evaluated(tmp_path, HALF, 0.5)
    parts = [plan_evaluate(run.input(RANKED_SOURCE))]
    for trust in (0.25, 1.0):
        changed = dataclasses.replace(HALF, trust=trust)
        write_judgement(run.workspace, KEY, RANKED_SOURCE.ranker, changed)
        parts.append(plan_evaluate(run.input(RANKED_SOURCE)))
    judgement_file(run.workspace, KEY, RANKED_SOURCE.ranker).unlink()
    assert parts[0] != parts[1] != parts[2]
    assert parts[2] == plan_evaluate(run.input(RANKED_SOURCE))


def test_the_command_says_so_in_lines_that_fit_and_the_plan_knows(
    tmp_path: Path, file: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    world = foreign(tmp_path / "foreign")
    config = RunConfig(train=small_config())
    job = Job(config=config, out=world.workspace.root, data=world.data, ranker=file, split="train")
    monkeypatch.setattr(
        JobPlans, "candidates", lambda *_: [type("Plan", (), {"key": world.key(), "block_images": 4})]
    )
    monkeypatch.setattr(
        command, "compute_scores", lambda plans, *_: [rank_all(plan) for plan in plans] and None
    )
    world.cache()
    command.rank(job)
    said = capsys.readouterr().out
    assert "unlike those the" in said
    assert "trusted at 0 %" in said
    assert max(map(len, said.splitlines())) <= 80
    (reason,) = plan_reasons(job, world)
    assert reason.startswith("trusted at 0 % (distance")
    command.rank(job, is_trusted_everywhere=True)
    assert capsys.readouterr().out == ""
    assert plan_reasons(job, world) == [
        "trusted as --trust-everywhere said; without it, the trust is judged first"
    ]
    command.rank(job)
    world.add_images(1)
    assert plan_reasons(job, world) == [
        "1 image added",
        "the trust is judged again first: it was 0 % before",
    ]


def plan_reasons(job: Job, world: World) -> list[str]:
    """What `crface plan` says about ranking."""
    from workflows.commands.plan import _rank_entries

    (entry,) = _rank_entries(JobPlans(job, {"train": world.index()}))
    assert max(map(len, entry.as_text().splitlines())) <= 80
    return list(entry.reasons)


def test_a_trust_between_moves_confidences_part_of_the_way(world: World, file: Path) -> None:
    key = world.cache()
    plan = planned_ranking(world, key, file)
    write_judgement(world.workspace, key, plan.spec.ranker, HALF)
    plan = planned_ranking(world, key, file)
    rank_all(plan)
    own = candidates(0, len("pretended"))[:, 4]
    image = cv2.imread(str(world.images / "0.png"))[..., ::-1].copy()
    whole = ranker.load(file).refine(image, candidates(0, len("pretended")))
    found = stored(plan)[0]
    between = (found >= np.minimum(own, whole) - 1e-6) & (found <= np.maximum(own, whole) + 1e-6)
    assert between.all()
    assert not np.array_equal(found, own)
    assert not np.array_equal(found, whole)
