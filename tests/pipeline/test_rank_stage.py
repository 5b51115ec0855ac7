"""The rank stage: scores beside candidates, computed once, again only where an image changed."""

import pickle
from pathlib import Path

import numpy as np
import pytest
from ranker_world import BLOCK_IMAGES, World, candidates
from ranking import planned_ranking, rank_all, save_ranker

from crface import ranker
from pipeline.blocks.store import UNREADABLE, ScoreStore
from pipeline.dataset.index import planned_index
from pipeline.errors import UserError
from pipeline.images.decode import read_image
from pipeline.rank import loading
from pipeline.rank.plan import RankPlan
from pipeline.rank.work import finish_rank, prepare_rank, rank_block


@pytest.fixture(autouse=True)
def no_models_kept() -> None:
    loading.expected_ranker.cache_clear()
    planned_index.cache_clear()


def scores(plan: RankPlan) -> ScoreStore:
    return ScoreStore.open(plan.spec.workspace.scores(plan.spec.key, plan.spec.ranker))


def test_every_image_gets_what_the_ranker_refines_in_the_order_of_its_candidates(tmp_path: Path) -> None:
    world, file = World(tmp_path), save_ranker(tmp_path / "ranker.safetensors")
    plan = planned_ranking(world, world.cache(), file)
    assert [(block.start, block.stop) for block in plan.blocks] == [(0, BLOCK_IMAGES), (BLOCK_IMAGES, 6)]
    assert plan.reasons == ["6 images not computed yet"]
    assert [(report.num_images, report.errors) for report in rank_all(plan)] == [(4, ()), (2, ())]
    model = ranker.load(file)
    for row in range(6):
        stored = scores(plan).read(row)
        expected = model.refine(read_image(world.images / f"{row}.png"), candidates(row, len("pretended")))
        assert np.array_equal(stored, expected)
        assert not np.array_equal(stored, candidates(row, len("pretended"))[:, 4])


def test_ranking_again_is_no_work_and_a_changed_or_added_image_is_just_that_image(tmp_path: Path) -> None:
    world, file = World(tmp_path), save_ranker(tmp_path / "ranker.safetensors")
    key = world.cache()
    rank_all(planned_ranking(world, key, file))
    assert planned_ranking(world, key, file).blocks == []
    world.draw(1, seed=77)
    world.add_images(1)
    world.cache()
    plan = planned_ranking(world, key, file)
    assert plan.reasons == ["1 image changed", "1 image added"]
    assert plan.num_to_compute == 2
    before = scores(plan).read(0)
    rank_all(plan)
    assert np.array_equal(scores(plan).read(0), before)
    expected = ranker.load(file).refine(read_image(world.images / "1.png"), candidates(1, len("pretended")))
    assert np.array_equal(scores(plan).read(1), expected)
    assert planned_ranking(world, key, file).blocks == []


def test_what_a_worker_killed_in_the_run_left_half_written_is_gone_after_it(tmp_path: Path) -> None:
    world, file = World(tmp_path), save_ranker(tmp_path / "ranker.safetensors")
    plan = planned_ranking(world, world.cache(), file)
    rank_all(plan)
    leftovers = [file.with_name(f".{file.name}.x1y2") for file in scores(plan).block_files(1)]
    for leftover in leftovers:
        leftover.write_bytes(b"half")
    finish_rank(plan)
    assert not any(leftover.exists() for leftover in leftovers)
    assert len(scores(plan).read(4)) == len(candidates(4, len("pretended")))


def test_another_ranker_or_other_candidates_are_other_scores(tmp_path: Path) -> None:
    world = World(tmp_path)
    one, other = save_ranker(tmp_path / "1.safetensors"), save_ranker(tmp_path / "2.safetensors", seed=1)
    key, another = world.cache(), world.cache("another")
    rank_all(planned_ranking(world, key, one))
    assert planned_ranking(world, key, other).num_to_compute == 6
    assert planned_ranking(world, another, one).num_to_compute == 6
    other.write_bytes(one.read_bytes())  # known by its bytes, not by its name
    assert planned_ranking(world, key, other).num_to_compute == 0


def test_an_image_without_candidates_or_gone_bad_is_named_and_stops_nothing(tmp_path: Path) -> None:
    world, file = World(tmp_path), save_ranker(tmp_path / "ranker.safetensors")
    key = world.cache(empty_rows=[1])
    plan = planned_ranking(world, key, file)
    (world.images / "4.png").unlink()
    first, second = rank_all(plan)
    assert first.errors == ("event/1.png: it has no candidates",)
    assert second.errors == ("event/4.png: there is no such file",)
    assert [count == UNREADABLE for count in scores(plan).counts()] == [
        False,
        True,
        False,
        False,
        True,
        False,
    ]
    world.draw(4, seed=4)  # back again
    assert planned_ranking(world, key, file).reasons == ["1 image changed"]


def test_ranking_waits_for_candidates(tmp_path: Path) -> None:
    world, file = World(tmp_path), save_ranker(tmp_path / "ranker.safetensors")
    plan = planned_ranking(world, world.key(), file)
    assert plan.num_to_compute == 6  # a plan can be made before
    with pytest.raises(UserError, match="crface cache"):
        prepare_rank(plan)
    world.cache()
    world.draw(0, seed=77)
    with pytest.raises(UserError, match="not complete: 1 image changed"):
        prepare_rank(planned_ranking(world, world.key(), file))


def test_a_file_that_is_no_ranker_is_refused_in_words(tmp_path: Path) -> None:
    world = World(tmp_path)
    key = world.cache()
    with pytest.raises(UserError, match=r"cannot read the ranker .*absent"):
        planned_ranking(world, key, tmp_path / "absent.safetensors")
    (tmp_path / "text.safetensors").write_text("no")
    with pytest.raises(UserError, match="cannot read the ranker"):
        prepare_rank(planned_ranking(world, key, tmp_path / "text.safetensors"))


def test_a_worker_that_sees_another_ranker_or_index_refuses(tmp_path: Path) -> None:
    world, file = World(tmp_path), save_ranker(tmp_path / "ranker.safetensors")
    plan = planned_ranking(world, world.cache(), file)
    prepare_rank(plan)
    save_ranker(file, seed=1)
    with pytest.raises(UserError, match="sees another ranker"):
        rank_block(plan.spec, plan.blocks[0])
    save_ranker(file)  # the same bytes again
    world.draw(0, seed=77)
    world.index()
    with pytest.raises(UserError, match="sees another index"):
        rank_block(plan.spec, plan.blocks[0])


def test_what_is_sent_to_a_worker_is_small(tmp_path: Path) -> None:
    world, file = World(tmp_path), save_ranker(tmp_path / "ranker.safetensors")
    plan = planned_ranking(world, world.cache(), file)
    assert len(pickle.dumps((plan.spec, plan.blocks[0]))) < 2000
