"""The demonstration: a ranker that may help, the paper's beside it, and one sentence about what was won."""

from pathlib import Path

import pytest

from pipeline.config.sections import CacheConfig, DatasetConfig, EvaluateConfig, RunConfig, TrainConfig
from pipeline.config.toml import load_config
from workflows.commands.demo import demo
from workflows.job.job import Job

TINY = {"num_candidates": 20, "image_side_px": 64, "batch_size": 2, "iterations": 2, "validate_every": 2}


@pytest.fixture
def job(tmp_path: Path) -> Job:
    config = RunConfig(
        dataset=DatasetConfig(train_images=6, val_images=3, long_side_px=160, world="snow"),
        cache=CacheConfig(detectors=("retinaface-mobilenet0.25", "hambox-slim"), block_images=3),
        train=TrainConfig(
            ranker="per-box",
            loss="varifocal",
            detectors=("retinaface-mobilenet0.25",),
            checkpoint_every=2,
            **TINY,
        ),
        evaluate=EvaluateConfig(resamples=20),
    )
    return Job(config=config, out=tmp_path / "run")


def test_the_papers_ranker_stands_beside_the_default_one_and_the_last_sentence_says_what_was_won(
    job: Job, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    paper = load_config("paper-small")
    assert (paper.train.ranker, paper.train.loss, paper.train.gate) == ("small", "rank", False)
    quick = paper.model_copy(update={"train": paper.train.model_copy(update=TINY)})
    monkeypatch.setattr("workflows.commands.demo.load_config", lambda _: quick)
    demo(job)
    first = capsys.readouterr().out
    assert "The paper's ranker instead" in first
    assert "ranking, in AP points of easy / medium / hard: retinaface-mobilenet0.25" in " ".join(
        first.split()
    )
    assert max(map(len, first.splitlines()[-2:])) <= 80
    demo(job)
    again = capsys.readouterr().out
    assert again.count("\ntrain: nothing to do") == 2
    assert again[again.index("The paper's ranker instead") :].split("\n\n")[1] in first
    assert all(f"{stage}: nothing to do" in again for stage in ("evaluate", "report"))


def test_the_demonstration_leaves_one_detector_out_of_the_training() -> None:
    config = load_config("demo")
    left_out = set(config.cache.detectors) - set(config.train.detectors)
    assert left_out == {"hrnet-slim"}
    assert config.dataset.world != "default"  # the one that the shipped detectors know
