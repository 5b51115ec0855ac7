"""What a ranker's training may do beyond the paper's, and that each of it can be stopped and continued."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from interrupted import StoppedError, interrupt_after
from ranker_examples import batch
from ranker_world import World, candidates, small_config
from safetensors.torch import save_file

from crface import losses, ranker
from crface.backbones import mobilenet_v1
from crface.ranker import PerBoxRanker
from crface.training.trainer import Trainer
from pipeline.blocks.store import CandidateStore, ScoreStore
from pipeline.errors import UsageError, UserError
from pipeline.images.decode import read_image
from pipeline.rank.plan import plan_rank
from pipeline.rank.work import finish_rank, prepare_rank, rank_block
from pipeline.train.held_out import held_out
from pipeline.train.plan import TrainPlan, plan_train
from pipeline.train.validation import Validation
from pipeline.train.work import train
from pipeline.workspace.layout import CandidateKey


def trainer(name: str = "small", **options: float | str) -> Trainer:
    torch.manual_seed(0)
    model = ranker.create(name, 8, 32)
    return Trainer(
        model,
        losses.create("rank-batch", 3, model.scale),
        iterations=6,
        learning_rate=1e-3,
        final_learning_rate=1e-5,
        **options,  # type: ignore[arg-type]
    )


def weights(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {key: value.clone() for key, value in model.state_dict().items()}


def test_averaged_weights_follow_by_nine_tenths_at_first_and_then_by_less() -> None:
    averaging = trainer(average_decay=0.15)
    start = weights(averaging.model)["fpn.lateral.0.weight"]
    averaging.step(0, batch(0))
    first = weights(averaging.model)["fpn.lateral.0.weight"]
    expected = start + 0.9 * (first - start)  # decay 1 / 10
    torch.testing.assert_close(weights(averaging.trained())["fpn.lateral.0.weight"], expected)
    averaging.step(1, batch(1))
    second = weights(averaging.model)["fpn.lateral.0.weight"]
    expected = expected + 0.85 * (second - expected)  # 2 / 11 is more than 0.15
    torch.testing.assert_close(weights(averaging.trained())["fpn.lateral.0.weight"], expected)


def test_without_an_average_the_trained_ranker_is_the_network_as_it_is() -> None:
    plain = trainer()
    plain.step(0, batch(0))
    trained = plain.trained()
    assert not trained.training
    assert all(torch.equal(value, weights(plain.model)[key]) for key, value in trained.state_dict().items())


def test_a_gradient_is_no_longer_than_it_may_be() -> None:
    clipped = trainer(max_gradient_norm=1e-3)
    clipped.step(0, batch(0))
    grads = [p.grad for p in clipped.model.parameters() if p.grad is not None]
    assert float(torch.cat([g.flatten() for g in grads]).norm()) == pytest.approx(1e-3, rel=1e-3)


@pytest.mark.parametrize("name", ["small", "per-box"])
def test_mixed_precision_learns_about_the_same_and_leaves_weights_in_single(name: str) -> None:
    full, mixed = trainer(name), trainer(name, precision="bfloat16")
    for step in range(2):
        one, other = full.step(step, batch(step))[0], mixed.step(step, batch(step))[0]
        assert other == pytest.approx(one, rel=0.05)
    assert all(p.dtype == torch.float32 for p in mixed.model.parameters())


def test_every_option_together_resumes_bit_for_bit() -> None:
    def new() -> Trainer:
        return trainer("per-box", average_decay=0.9, max_gradient_norm=1.0, precision="bfloat16")

    unbroken, before, after = new(), new(), new()
    for step in range(4):
        unbroken.step(step, batch(step))
    for step in range(2):
        before.step(step, batch(step))
    after.restore(before.state())
    for step in range(2, 4):
        after.step(step, batch(step))
    one, other = unbroken.state(), after.state()
    assert one.keys() == other.keys()
    assert all(torch.equal(one[key], other[key]) for key in one)


def test_a_checkpoint_with_an_average_is_refused_where_none_is_kept() -> None:
    with pytest.raises(ValueError, match="only one of them keeps an average"):
        trainer().restore(trainer(average_decay=0.9).state())


# The stage.


def planned(world: World, **changes: int | float | str) -> TrainPlan:
    return plan_train(world.workspace, world.index(), [world.cache()], small_config(**changes))


def validation_steps(plan: TrainPlan) -> dict[int, float]:
    rows = list(csv.reader((plan.folder / "validation.csv").read_text().splitlines()))
    assert rows[0] == ["step", "ap"]
    return {int(step): float(ap) for step, ap in rows[1:]}


def test_held_out_images_are_looked_at_now_and_then_and_the_best_state_is_kept(tmp_path: Path) -> None:
    plan = planned(World(tmp_path), validation_share=0.34, validate_every=2)
    made = train(plan)
    aps = validation_steps(plan)
    assert list(aps) == [0, 2, 4, 6]
    assert all(0 < ap <= 1 for ap in aps.values())
    assert made.read_bytes() == (plan.folder / "best.safetensors").read_bytes()


def test_a_validated_training_goes_on_and_ends_as_if_it_had_not_been_interrupted(tmp_path: Path) -> None:
    options: dict[str, int | float | str] = {
        "validation_share": 0.34,
        "validate_every": 1,
        "ranker": "per-box",
        "average_decay": 0.5,
    }
    broken, unbroken = (planned(World(tmp_path / name), **options) for name in ("a", "b"))
    with pytest.raises(StoppedError):
        train(broken, progress=interrupt_after(5))
    broken = plan_train(broken.workspace, broken.index, broken.keys, broken.config)
    assert broken.steps_done == 4
    assert train(broken).read_bytes() == train(unbroken).read_bytes()
    assert validation_steps(broken) == validation_steps(unbroken)


def test_a_per_box_ranker_is_trained_and_applied_by_the_stages(tmp_path: Path) -> None:
    world = World(tmp_path)
    plan = planned(world, ranker="per-box", loss="faces-first", validation_share=0.2, validate_every=3)
    file = train(plan)
    model = ranker.load(file)
    assert isinstance(model, PerBoxRanker)
    ranked = plan_rank(world.workspace, world.index(), plan.keys[0], file, 4, above=0.02)
    prepare_rank(ranked)
    for block in ranked.blocks:
        rank_block(ranked.spec, block)
    finish_rank(ranked)
    stored = ScoreStore.open(world.workspace.scores(plan.keys[0], ranked.spec.ranker)).read(3)
    found = candidates(3, len("pretended"))
    np.testing.assert_array_equal(stored, model.refine(read_image(world.images / "3.png"), found, above=0.02))


def test_a_share_of_the_images_is_held_out_the_same_for_the_same_seed() -> None:
    rows = list(range(100, 150))
    paths = [f"event/{name}.jpg" for name in rows]
    kept, out = held_out(rows, paths, 0.2, seed=1)
    assert sorted(kept + out) == rows
    assert len(out) == 10
    assert held_out(rows, paths, 0.2, seed=1) == (kept, out)
    assert held_out(rows, paths, 0.2, seed=2)[1] != out
    assert held_out(rows, paths, 0.0, seed=1) == (rows, [])
    assert [len(part) for part in held_out([5, 6], paths[:2], 0.9, seed=0)] == [1, 1]
    assert len(held_out(rows, paths, 0.001, seed=0)[1]) == 1


def test_initial_weights_are_known_by_their_bytes_and_decide_the_ranker(tmp_path: Path) -> None:
    world = World(tmp_path)
    torch.manual_seed(5)
    for name in ("a", "b"):
        save_file(mobilenet_v1(0.25).state_dict(), tmp_path / f"{name}.safetensors")
    first = planned(world, initial_weights=str(tmp_path / "a.safetensors"))
    assert train(first).read_bytes() != train(planned(world)).read_bytes()
    (tmp_path / "moved.safetensors").write_bytes((tmp_path / "a.safetensors").read_bytes())
    assert planned(world, initial_weights=str(tmp_path / "moved.safetensors")).state == "done"
    other = planned(world, initial_weights=str(tmp_path / "b.safetensors"))
    assert other.state == "new"
    assert other.reasons[0].startswith("initial weights: ")


def test_initial_weights_that_are_missing_or_of_another_network_are_refused_in_words(tmp_path: Path) -> None:
    world = World(tmp_path)
    with pytest.raises(UserError, match=r"cannot read train.initial_weights = 'nowhere'"):
        planned(world, initial_weights="nowhere")
    save_file({"conv1.weight": torch.zeros(64, 3, 7, 7)}, tmp_path / "other.safetensors")
    with pytest.raises(UserError, match=r"train.initial_weights: .* does not fit the trunk"):
        train(planned(world, initial_weights=str(tmp_path / "other.safetensors")))


@pytest.mark.parametrize(
    ("aps", "patience", "is_over"),
    [
        ((0.9, 0.5, 0.4), 1, True),  # the first number is the detector's, which no training has to beat
        ((0.9, 0.5, 0.6), 1, False),
        ((0.1, 0.5, 0.4, 0.4), 2, True),
        ((0.1, 0.5, 0.4, 0.6), 2, False),
        ((0.1, 0.5, 0.5), 1, True),  # as good is not better
        ((0.1, 0.5), 1, False),
        ((0.1, 0.5, 0.4, 0.3), 0, False),
    ],
)
def test_a_training_is_over_when_as_many_looks_as_its_patience_found_nothing_better(
    aps: tuple[float, ...], patience: int, is_over: bool
) -> None:
    looks = Validation.__new__(Validation)
    looks._aps = dict(enumerate(aps))
    assert looks.is_over(patience) == is_over


def test_a_training_that_gets_no_better_ends_early_and_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.train.validation.best_share", lambda _: (1.0, 0.5))
    plan = planned(World(tmp_path), validation_share=0.34, validate_every=1, patience=2)
    seen: list[int] = []
    train(plan, progress=lambda done: seen.append(done.steps_done))
    assert seen == [1, 2, 3]  # the first look is the best, and two more find nothing better
    plan.ranker_file.unlink()  # as if it had been cut off right there
    again = plan_train(plan.workspace, plan.index, plan.keys, plan.config)
    assert (again.state, again.steps_done) == ("resume", 3)
    train(again, progress=lambda done: seen.append(done.steps_done))
    assert seen == [1, 2, 3]
    assert plan.ranker_file.is_file()


def test_patience_without_held_out_images_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"train.patience = 3 .* set train.validation_share"):
        planned(World(tmp_path), patience=3)


def test_patience_decides_the_name_of_a_ranker_only_where_there_is_any(tmp_path: Path) -> None:
    world = World(tmp_path)
    assert "patience" not in planned(world).parts["train"]
    patient = planned(world, validation_share=0.34, patience=2)
    assert patient.parts["train"]["patience"] == 2
    assert patient.fingerprint != planned(world, validation_share=0.34).fingerprint


def test_detectors_to_validate_with_are_never_trained_on_and_alone_are_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_at: list[CandidateStore] = []

    class Watched(Validation):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            looked_at.extend(arguments[3])
            super().__init__(*arguments, **options)

    monkeypatch.setattr("pipeline.train.run.Validation", Watched)
    world = World(tmp_path)
    keys = [world.cache(name) for name in ("pretended", "other one")]

    def losses_of(keys: list[CandidateKey], *left_out: str) -> list[str]:
        config = small_config(validation_share=0.34, validate_every=3, validation_detectors=left_out)
        plan = plan_train(world.workspace, world.index(), keys, config)
        train(plan)
        return [row["loss"] for row in csv.DictReader((plan.folder / "metrics.csv").read_text().splitlines())]

    assert losses_of(keys, "other one") == losses_of(keys[:1])
    seen = [store.read(3) for store in looked_at]
    np.testing.assert_array_equal(seen, [candidates(3, len("other one")), candidates(3, len("pretended"))])


@pytest.mark.parametrize(
    ("names", "share", "words"),
    [
        (["other one"], 0.0, "held-out images, of which there are none"),
        (["elsewhere"], 0.2, "names elsewhere, the candidates are of other one, pretended"),
        (["other one", "pretended"], 0.2, "name some of these, not all"),
    ],
)
def test_detectors_that_cannot_be_validated_with_are_refused_in_words(
    tmp_path: Path, names: list[str], share: float, words: str
) -> None:
    world = World(tmp_path)
    keys = [world.key("pretended"), world.key("other one")]
    config = small_config(validation_share=share, validation_detectors=names)
    with pytest.raises(UsageError, match=words):
        plan_train(world.workspace, world.index(), keys, config)


@pytest.mark.parametrize("name", ranker.names())
def test_an_output_range_makes_another_ranker_only_where_the_ranker_has_one(
    name: str, tmp_path: Path
) -> None:
    world = World(tmp_path)
    key, index = world.cache(), world.index()
    weights_file = tmp_path / "weights"
    weights_file.write_bytes(b"of a detector")
    options = {"ranker": name, "initial_weights": str(weights_file)}
    plans = [
        plan_train(world.workspace, index, (key,), small_config(output_range=value, **options))
        for value in ("clipped", "scaled")
    ]
    assert (plans[0].fingerprint != plans[1].fingerprint) == ranker.has_output_range(name)
