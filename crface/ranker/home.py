"""Where a ranker is at home: the kind of pictures and candidates that it was trained on, and how far others are.

One picture tells little: at 5 % false alarms 15 to 60 % of foreign photographs are found. A set tells much, because
the mean over its pictures does not scatter (docs/decisions/0010-home.md has the figures). So sets are compared: the
mean of `describing.describe` over some pictures of a set with those over the folders of the training pictures.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import scipy.optimize
import torch
from jaxtyping import Float, Float32
from torch import Tensor, nn

from crface.ranker.describing import FEATURES

MIN_PICTURES: Final = 8
"""Fewer pictures are not judged, and make no centre: their mean scatters too much."""

USUAL_DISTANCE: Final = 0.75
"""Up to this distance a ranker is fully trusted: sets of 25 and more pictures at home are closer."""

STRANGE_DISTANCE: Final = 1.5
"""From this distance on it is not trusted at all: six kinds of photographs are farther from each other, but for two of
masked people, and rankers do harm there (docs/results.md, "What the trust costs")."""

_TRUST_STEPS: Final = 4  # few, so that a handful of added pictures seldom changes the trust in all others
_RIDGE: Final = 0.1  # share of no correlation that is mixed into the correlations of few pictures


class Home(nn.Module):
    """The descriptions that a ranker was trained on: a centre for each detector and folder, and how they scatter.

    A set is at home if it is a mixture of what a detector's centres stand for, in whatever shares.
    """

    BUFFERS: Final = ("centres", "detectors", "num_pictures", "whitening")

    def __init__(self, centres: Tensor, detectors: Tensor, num_pictures: Tensor, whitening: Tensor) -> None:
        super().__init__()
        self.centres: Tensor
        """[centre, feature]: mean descriptions."""
        self.detectors: Tensor
        """[centre]: the number of each centre's detector."""
        self.num_pictures: Tensor
        """[centre]: of how many pictures it is the mean."""
        self.whitening: Tensor
        """[feature, feature]: times a description, its numbers scatter by 1 within a folder, without correlation."""
        for name, value in zip(self.BUFFERS, (centres, detectors, num_pictures, whitening), strict=True):
            self.register_buffer(name, value)

    @classmethod
    def of_state(cls, state: Mapping[str, Tensor]) -> "Home":
        """The home in a ranker's file; KeyError where a part of it is missing."""
        return cls(*(state[f"home.{name}"] for name in cls.BUFFERS))

    def distance(self, descriptions: Float[np.ndarray, "picture feature"]) -> float:
        """How far some pictures are from home, in units of how single pictures at home scatter; 0: at home.

        The distance of their mean from the closest mixture of one detector's centres. What chance may do to that many
        pictures (its mean and standard deviation, for normal descriptions) is taken off, so it is a distance that the
        kinds of pictures have at least.
        """
        whitening, centres = _double(self.whitening), _double(self.centres)
        mean = whitening @ descriptions.astype(np.float64).mean(axis=0)
        num_features = len(mean)
        closest = np.inf
        for detector in self.detectors.unique().tolist():
            is_its = (self.detectors == detector).cpu().numpy()
            apart = centres[is_its] @ whitening.T - mean
            shares = _closest_mixture(apart)
            scatter = 1 / len(descriptions) + (shares**2 / _double(self.num_pictures)[is_its]).sum()
            chance = (num_features + np.sqrt(2 * num_features)) * scatter
            closest = min(closest, ((shares @ apart) ** 2).sum() - chance)
        return float(np.sqrt(max(0.0, closest)))


def trust_at(distance: float) -> float:
    """How far a ranker is believed at a distance from home: 1, 0.75, 0.5, 0.25 or 0, falling with the distance."""
    share = (STRANGE_DISTANCE - distance) / (STRANGE_DISTANCE - USUAL_DISTANCE)
    return round(_TRUST_STEPS * min(max(share, 0.0), 1.0)) / _TRUST_STEPS


def trust_in(home: Home, descriptions: Sequence[Float32[np.ndarray, " feature"]]) -> tuple[float, float]:
    """The distance of some pictures from home, and the trust there; 0 and full trust for fewer than MIN_PICTURES."""
    if len(descriptions) < MIN_PICTURES:
        return 0.0, 1.0
    distance = home.distance(np.array(descriptions))
    return distance, trust_at(distance)


def fitted_home(
    descriptions: Float32[np.ndarray, "detector picture feature"], folders: Sequence[str]
) -> Home | None:
    """The home of a ranker trained on these pictures of these folders; None if they are too few to be one.

    Folders of fewer than MIN_PICTURES make one centre together, if they are as many as that.
    """
    small = {name for name in folders if folders.count(name) < MIN_PICTURES}
    group = np.array(["" if name in small else f"/{name}" for name in folders])
    members = [group == name for name in sorted(set(group)) if (group == name).sum() >= MIN_PICTURES]
    if not members:
        return None
    gathered = [
        (detector, found[of_one]) for detector, found in enumerate(descriptions) for of_one in members
    ]
    centres = [part.astype(np.float64).mean(axis=0) for _, part in gathered]
    rest = np.concatenate([part - centre for (_, part), centre in zip(gathered, centres, strict=True)])
    spread = np.maximum(rest.std(axis=0), list(FEATURES.values()))
    correlation = (rest / spread).T @ (rest / spread) / len(rest)
    correlation = (1 - _RIDGE) * correlation + _RIDGE * np.eye(len(spread))
    root = np.linalg.cholesky(np.linalg.inv(correlation)).T
    return Home(
        torch.tensor(np.array(centres), dtype=torch.float32),
        torch.tensor([detector for detector, _ in gathered]),
        torch.tensor([len(part) for _, part in gathered]),
        torch.tensor(root / spread, dtype=torch.float32),
    )


def _closest_mixture(apart: np.ndarray) -> np.ndarray:
    """The shares, at least 0 and 1 together, that bring the mixture of these points closest to the origin."""
    heavy = 1e3 * (1 + np.abs(apart).max())  # makes the equation "1 together" outweigh all others
    equations = np.vstack([apart.T, np.full(len(apart), heavy)])
    shares, _ = scipy.optimize.nnls(equations, np.append(np.zeros(apart.shape[1]), heavy))
    normed: np.ndarray = shares / shares.sum()
    return normed


def _double(values: Tensor) -> np.ndarray:
    found: np.ndarray = values.detach().cpu().double().numpy()
    return found
