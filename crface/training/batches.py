"""The images of each training step, drawn from (seed, epoch) alone."""

from typing import Final

import numpy as np

ORDER: Final = 0
"""The number that follows the seed in this draw; other draws of a training take others."""


def batch_images(seed: int, step: int, num_images: int, batch_size: int) -> tuple[int, ...]:
    """The images of a step, by number; the same again for the same arguments.

    Every epoch is a shuffle of its own of all images, and a batch may span two epochs.
    """
    positions = np.arange(step * batch_size, (step + 1) * batch_size)
    epochs, places = np.divmod(positions, num_images)
    orders = {
        epoch: np.random.default_rng([seed, ORDER, epoch]).permutation(num_images)
        for epoch in sorted(set(epochs.tolist()))
    }
    return tuple(int(orders[epoch][place]) for epoch, place in zip(epochs.tolist(), places, strict=True))
