"""Candidates with what other detectors say of them, for rankers that ask (`crface.ranker.opinions`)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from jaxtyping import Float32

from crface.array_shapes import ScoredBoxes
from crface.ranker.opinions import with_opinions
from pipeline.blocks.store import CandidateStore, ImageUnreadable
from pipeline.workspace.layout import CandidateKey


class Candidates(Protocol):
    """Anything that has the candidates of a row."""

    def read(self, row: int) -> Float32[np.ndarray, "candidate number"]:
        """The candidates of a row; ImageUnreadable when its image could not be read."""


@dataclass(frozen=True, slots=True)
class AskedCandidates:
    """A detector's candidates with the opinions of others on each."""

    own: CandidateStore
    others: tuple[CandidateStore | None, ...]
    """The detectors that are asked, in the ranker's order; None where that is the detector itself."""

    def read(self, row: int) -> Float32[np.ndarray, "candidate number"]:
        """The candidates of a row, each with its opinions; ImageUnreadable when its image could not be read."""
        return with_opinions(self.own.read(row), [self._opinion(store, row) for store in self.others])

    def _opinion(self, store: CandidateStore | None, row: int) -> ScoredBoxes | None:
        try:
            return None if store is None else store.read(row)
        except ImageUnreadable:  # by that detector: the image's own detector could read it
            return None


def asked_candidates(
    key: CandidateKey, stores: Mapping[CandidateKey, CandidateStore], asked: Sequence[CandidateKey]
) -> Candidates:
    """The candidates of `key`, with the opinions of `asked` if there are any."""
    if not asked:
        return stores[key]
    return AskedCandidates(stores[key], tuple(None if other == key else stores[other] for other in asked))
