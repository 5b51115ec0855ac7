"""The size of a training that a configuration leaves open: it follows from the number of images."""

from pipeline.config.sections import TrainConfig

_EPOCHS = 9
_EPOCHS_OF_PER_BOX = 27
"""It learns to see: three times as long closes twice as much of the oracle gap (docs/results.md)."""
_FEWEST_STEPS, _MOST_STEPS = 200, 4000
_FEW_IMAGES = 150
_FOLDS = 3
_LOOKS = 6


def sized(config: TrainConfig, num_images: int) -> TrainConfig:
    """The configuration with a number in place of each 0 that means "by the number of images".

    Nine times through the images, `per-box` 27 times, but not below 200 steps nor above 4,000; six looks at the
    held-out images; below 150 images every image is held out once, by three trainings. The machine has no part in it:
    the same command has to find the same ranker on a machine with a GPU and on one without.
    """
    epochs = _EPOCHS_OF_PER_BOX if config.ranker == "per-box" else _EPOCHS
    iterations = config.iterations or min(
        max(round(epochs * num_images / config.batch_size), _FEWEST_STEPS), _MOST_STEPS
    )
    return config.model_copy(
        update={
            "iterations": iterations,
            "validate_every": config.validate_every or -(-iterations // _LOOKS),
            "folds": config.folds or (_FOLDS if num_images < _FEW_IMAGES else 1),
        }
    )
