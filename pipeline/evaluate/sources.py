"""What is evaluated: a detector's stored candidates, with or without the confidences of a ranker."""

from dataclasses import dataclass

import numpy as np

from pipeline.blocks.arrays import UNREADABLE
from pipeline.blocks.complete import open_complete
from pipeline.blocks.ledger import Ledger
from pipeline.blocks.plan import describe, plan_blocks
from pipeline.blocks.store import CandidateStore, ScoreStore
from pipeline.blocks.trust import recorded_trust, trusted_digests
from pipeline.config.sections import EvaluateConfig
from pipeline.dataset.index import Index
from pipeline.errors import UserError
from pipeline.workspace.layout import CandidateKey, Workspace


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One detector's candidates to evaluate, with or without the confidences of a ranker."""

    key: CandidateKey
    weights: str
    """The sha256 of the detector's weights."""
    ranker: str = ""
    """The fingerprint of the ranker whose scores are stored for these candidates; empty for none."""
    training: str = ""
    """The fingerprint of that ranker's training in this workspace; empty if it was trained elsewhere."""
    input_size: str = "original"
    """The size at which the detector saw the images, as shown beside every AP."""


@dataclass(frozen=True, slots=True)
class SourceStores:
    """What is stored of a source."""

    source: Source
    candidates: CandidateStore
    scores: ScoreStore | None
    unreadable: frozenset[int]
    """Rows whose image could not be read when candidates or scores were computed."""


def open_source(workspace: Workspace, source: Source, index: Index, config: EvaluateConfig) -> SourceStores:
    """A source's candidates and, where it has a ranker, its scores, opened for reading.

    Raises UserError when they are missing or out of date.
    """
    candidates = open_complete(workspace, index, source.key)
    scores = _open_scores(workspace, source, index, config) if source.ranker else None
    unreadable = frozenset(
        row
        for store in (candidates, scores)
        if store is not None
        for row in np.flatnonzero(store.counts() == UNREADABLE).tolist()
    )
    return SourceStores(source, candidates, scores, unreadable)


def _open_scores(workspace: Workspace, source: Source, index: Index, config: EvaluateConfig) -> ScoreStore:
    store = ScoreStore.open(workspace.scores(source.key, source.ranker))
    missing = plan_blocks(
        trusted_digests(
            index.row_digests, config.score_threshold, *recorded_trust(workspace, source.key, source.ranker)
        ),
        Ledger(workspace.scores_ledger(source.key, source.ranker)).read(),
        store.shard_bytes(),
        store.block_images,
        store.num_images,
    )
    if missing:
        raise UserError(
            f"the confidences refined by the ranker {source.ranker} for {source.key.detector} on the "
            f"{source.key.split} split are not complete: {', '.join(describe(missing))}; run `crface rank` first"
        )
    return store
