"""A committee through the stages: trained on, ranked with and evaluated with other detectors' candidates."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from click.testing import CliRunner
from fake_detector import expected
from ranker_world import World, candidates, small_config
from ranking import rank_all

from crface import ranker
from crface.ranker.describing import FEATURES
from crface.ranker.home import fitted_home
from crface.ranker.opinions import with_opinions
from pipeline.blocks.store import ScoreStore
from pipeline.config.sections import EvaluateConfig
from pipeline.dataset.index import planned_index
from pipeline.errors import UsageError, UserError
from pipeline.evaluate.sources import Source, open_source
from pipeline.images.decode import read_image
from pipeline.rank import loading
from pipeline.rank.judging import judge
from pipeline.rank.plan import RankPlan, asked_by, plan_rank
from pipeline.train.plan import plan_train
from pipeline.train.work import train
from workflows.cli.main import cli

NAMES = ("pretended", "other one", "a third")


@pytest.fixture(autouse=True)
def no_models_kept() -> None:
    loading.expected_ranker.cache_clear()
    planned_index.cache_clear()


def save_committee(path: Path, *names: str) -> Path:
    torch.manual_seed(0)
    model = ranker.create("committee", 16, 64, opinions=names)
    assert isinstance(model, ranker.CommitteeRanker)
    torch.nn.init.normal_(model.residual.weight, std=0.3)
    ranker.save(model, path)
    return path


def planned(world: World, name: str, file: Path) -> RankPlan:
    """The ranking of a detector's candidates, once it is on record who is asked."""
    keys, index = [world.key(each) for each in NAMES], world.index()
    asked = asked_by(file, keys)
    judge(world.workspace, index, [world.key(name)], file, asked=asked)
    return plan_rank(world.workspace, index, world.key(name), file, 32, asked, above=0.02)


def test_a_committee_is_trained_on_what_the_others_say(tmp_path: Path) -> None:
    world = World(tmp_path)
    keys = [world.cache(name) for name in NAMES]
    config = small_config(ranker="committee", loss="face-or-not", opinions=["other one", "a third"])
    file = train(plan_train(world.workspace, world.index(), keys, config))
    model = ranker.load(file)
    assert (model.name, model.opinions) == ("committee", ("other one", "a third"))
    untrained = ranker.create("committee", 16, 64, opinions=model.opinions)
    assert any(
        not torch.equal(value, untrained.state_dict()[key]) for key, value in model.state_dict().items()
    )


def test_each_detector_is_refined_with_the_opinions_of_the_others_not_its_own(tmp_path: Path) -> None:
    world, file = World(tmp_path), save_committee(tmp_path / "ranker.safetensors", *NAMES[:2])
    for name in NAMES:
        world.cache(name)
    for name in NAMES:
        plan = planned(world, name, file)
        rank_all(plan)
        store = ScoreStore.open(world.workspace.scores(plan.spec.key, plan.spec.ranker))
        for row in range(world.num_images):
            said = [None if other == name else candidates(row, len(other)) for other in NAMES[:2]]
            refined = ranker.load(file).refine(
                read_image(world.images / f"{row}.png"),
                with_opinions(candidates(row, len(name)), said),
                above=0.02,
            )
            np.testing.assert_array_equal(store.read(row), refined)
        source = Source(key=world.key(name), weights="", ranker=plan.spec.ranker, training="", input_size="")
        assert open_source(world.workspace, source, world.index(), EvaluateConfig()).scores is not None


def test_other_candidates_of_an_asked_detector_are_another_refinement(tmp_path: Path) -> None:
    world, file = World(tmp_path), save_committee(tmp_path / "ranker.safetensors", "other one")
    for name in NAMES:
        world.cache(name)
    rank_all(planned(world, "pretended", file))
    assert planned(world, "pretended", file).blocks == []
    keys = [world.key("pretended"), world.key("a third")]
    renamed = [keys[0], type(keys[1])(keys[1].split, "other one", keys[1].protocol, keys[1].fingerprint)]
    index = world.index()
    plan = plan_rank(world.workspace, index, keys[0], file, 32, asked_by(file, renamed), above=0.02)
    assert plan.reasons == ["6 images refined with another trust, other opinions, or another threshold"]


def test_a_detector_that_is_asked_and_not_there_is_named(tmp_path: Path) -> None:
    world, file = World(tmp_path), save_committee(tmp_path / "ranker.safetensors", "other one", "a third")
    with pytest.raises(UserError, match="there are no candidates of a third: name all of them with --detec"):
        asked_by(file, [world.key("pretended"), world.key("other one")])
    assert asked_by(tmp_path / "none", [world.key()]) == ()


@pytest.mark.parametrize(
    ("options", "names", "words"),
    [
        ({}, ["pretended"], "there is none but pretended: name two or more"),
        ({"opinions": ["nobody"]}, NAMES, "train.opinions names nobody"),
        ({"opinions": ["pretended"]}, NAMES, "there is none but pretended"),
        ({}, ["pretended", "pretended"], "it cannot ask two of the same name"),
        ({"ranker": "small", "opinions": ["a third"]}, NAMES, 'are asked by ranker = "committee" alone'),
    ],
)
def test_a_committee_that_cannot_ask_says_why(
    tmp_path: Path, options: dict[str, object], names: Sequence[str], words: str
) -> None:
    world = World(tmp_path)
    keys = [world.key(name) for name in names]
    with pytest.raises(UsageError, match=words):
        plan_train(world.workspace, world.index(), keys, small_config(**{"ranker": "committee", **options}))


def test_on_strange_pictures_half_of_a_committee_is_trusted(tmp_path: Path) -> None:
    world, file = World(tmp_path, num_images=9), save_committee(tmp_path / "ranker.safetensors", "other one")
    keys = [world.cache(name) for name in NAMES[:2]]
    model = ranker.load(file)
    elsewhere = np.random.default_rng(0).normal(100, 1, (1, 12, len(FEATURES))).astype(np.float32)
    model.home = fitted_home(elsewhere, ["one"] * 12)
    ranker.save(model, file)
    judged = judge(world.workspace, world.index(), keys, file, asked=asked_by(file, keys))
    assert [judgement.trust for judgement in judged.values()] == [0.5, 0.5]


def test_detections_in_single_images_run_the_detectors_that_are_asked(tmp_path: Path) -> None:
    photograph = np.random.default_rng(0).integers(0, 256, (40, 56, 3), dtype=np.uint8)
    photograph[0, 0] = (6, 0, 0)  # of which the detector finds 6 candidates
    assert cv2.imwrite(str(tmp_path / "photo.png"), photograph[..., ::-1])
    file = save_committee(tmp_path / "ranker.safetensors", "retinaface-mobilenet0.25", "fake_detector:ENTRY")
    words = [
        "detect",
        "--detector",
        "fake_detector:ENTRY",
        "--out",
        tmp_path / "out",
        "--json",
        "--threshold",
        "0",
    ]

    def found(*more: str) -> str:
        ended = CliRunner().invoke(cli, [*map(str, words), *more, str(tmp_path / "photo.png")])
        assert ended.exit_code == 0, ended.output
        return ended.stdout

    assert len(expected(6)) == 6
    assert found("--ranker", str(file)) != found()
    refused = CliRunner().invoke(
        cli, [*map(str, words), "--ranker", str(file), "--opinion", "hrnet-slim", str(tmp_path / "photo.png")]
    )
    assert isinstance(refused.exception, UsageError)
    assert "nobody asks hrnet-slim" in str(refused.exception)
