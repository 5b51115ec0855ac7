"""Every configuration that is shipped can be used as it is: its keys are known, and its ranker and loss can be made."""

import pytest
from places import ROOT

from crface import losses, ranker
from detectors.training.config import DetectorTrainConfig
from pipeline.config.sections import RunConfig
from pipeline.config.toml import load_config, read_toml
from pipeline.train.sizing import sized

FILES = {path.stem: path.read_text() for path in sorted((ROOT / "pipeline" / "configs").glob("*.toml"))}
OF_RUNS = [name for name, text in FILES.items() if "[train]" in text]
OF_DETECTORS = [name for name in FILES if name not in OF_RUNS]


@pytest.mark.parametrize("name", OF_RUNS)
def test_a_run_has_a_ranker_and_a_loss_that_fit_each_other(name: str) -> None:
    config = sized(load_config(name).train, num_images=300)
    assert config.iterations > 0
    opinions = ("retinaface-mobilenet0.25", "hambox-slim") if config.ranker == "committee" else ()
    output_range = config.output_range if ranker.has_output_range(config.ranker) else None
    model = ranker.create(config.ranker, config.num_candidates, config.image_side_px, output_range, opinions)
    losses.create(config.loss, config.num_pairs, model.scale)


@pytest.mark.parametrize("name", OF_DETECTORS)
def test_a_detectors_recipe_is_one(name: str) -> None:
    assert read_toml(name, DetectorTrainConfig).iterations > 0


@pytest.mark.parametrize("name", ["photos", "second-opinion", "committee"])
def test_what_is_trained_on_ones_own_pictures_shows_first_that_it_helps(name: str) -> None:
    config = load_config(name)
    assert config.train.gate
    assert config.train.validation_share > 0
    assert sized(config.train, num_images=40).folds == 3
    assert config.evaluate == RunConfig().evaluate
