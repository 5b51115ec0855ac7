"""The stage that refines cached candidates with a ranker, block by block, into the score store."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from safetensors import SafetensorError, safe_open

from pipeline.blocks.ledger import Ledger
from pipeline.blocks.plan import Block, describe, num_to_compute, plan_blocks
from pipeline.blocks.store import CandidateStore, ScoreStore
from pipeline.blocks.trust import Judgement, asked_digest, read_judgement, trusted_digests
from pipeline.dataset.index import Index
from pipeline.errors import UserError
from pipeline.images.decode import DECODING
from pipeline.workspace.fingerprint import Parts, file_sha256, fingerprint
from pipeline.workspace.layout import CandidateKey, Workspace
from pipeline.workspace.place import Place, local_copy

RANK_VERSION: Final = 3
"""Raised when the code changes in a way that changes refined confidences."""


@dataclass(frozen=True, slots=True)
class RankSpec:
    """What every block of one ranking run shares; a few hundred bytes, sent with each block."""

    workspace: Workspace
    key: CandidateKey
    """The candidates."""
    ranker_file: Place
    """Absolute; every worker reads it."""
    ranker: str
    """The ranker's fingerprint, which the scores are filed under."""
    index_digest: str
    """Digest of the index that the blocks were planned from."""
    above: float
    """Candidates of a confidence up to this keep it: no detections are made of them."""
    trust: float = 1.0
    """How far the ranker is believed; as `above`, what `crface.ranker.Ranker.refine` takes."""
    asked: tuple[CandidateKey, ...] = ()
    """The candidates whose opinions the ranker reads, in its order; those of `key` itself are not asked."""


@dataclass(frozen=True, slots=True)
class RankPlan:
    """What a ranking run would do; made without writing anything and without loading the ranker."""

    spec: RankSpec
    index: Index
    blocks: list[Block]
    parts: Parts
    """What the ranker's fingerprint is made of."""
    block_images: int
    """The candidates' block size, so that a task reads one shard and writes one."""
    judgement: Judgement | None = None
    """Why the ranker is believed so far; None where nothing was judged, and it is trusted."""

    @property
    def reasons(self) -> list[str]:
        """Why there is something to do, in words; empty when everything is done."""
        return describe(self.blocks)

    @property
    def num_to_compute(self) -> int:
        """The images that will be computed."""
        return num_to_compute(self.blocks)


def identify_ranker(ranker_file: Place) -> Parts:
    """Everything that decides refined confidences besides image and candidates, as JSON values.

    A ranker is identified by its bytes, wherever it lies and whoever trained it.

    Raises UserError when the file cannot be read.
    """
    try:
        sha256 = file_sha256(ranker_file)
    except OSError as error:
        raise UserError(
            f"cannot read the ranker {ranker_file}: {error.strerror}; train one with `crface train`"
        ) from error
    return {"stage": "rank", "version": RANK_VERSION, "weights": sha256, "decoding": DECODING}


def opinions_of(ranker_file: Place) -> list[str]:
    """The names of the detectors that the ranker in a file asks, read without PyTorch; none for most rankers."""
    try:
        with local_copy(ranker_file) as path, safe_open(path, framework="np") as file:
            names: list[str] = json.loads((file.metadata() or {})["ranker"]).get("opinions", [])
            return names
    except (OSError, SafetensorError, KeyError, ValueError, AttributeError):
        return []  # whoever loads the ranker says what it is instead


def asked_by(ranker_file: Place, keys: Sequence[CandidateKey]) -> tuple[CandidateKey, ...]:
    """Those of `keys` whose opinions the ranker in a file reads, in its order; none for most rankers.

    Raises UserError when a detector that it asks is not among them.
    """
    names = opinions_of(ranker_file)
    by_name = {key.detector: key for key in keys}
    if missing := [name for name in names if name not in by_name]:
        raise UserError(
            f"the ranker {ranker_file} asks {', '.join(names)}, and there are no candidates of {', '.join(missing)}: "
            "name all of them with --detector"
        )
    return tuple(by_name[name] for name in names)


def plan_rank(
    workspace: Workspace,
    index: Index,
    key: CandidateKey,
    ranker_file: Place,
    block_images: int,
    asked: tuple[CandidateKey, ...] = (),
    *,
    above: float,
) -> RankPlan:
    """The blocks of these candidates that lack this ranker's refined confidences, and why.

    A row is computed again when its image's hash changes, or the trust in the ranker (as it is recorded, see
    `pipeline.rank.judging`), the candidates in `asked` (from `asked_by`), or the confidence `above` which candidates
    are refined, which is the evaluation's threshold. Other candidates or another ranker are another store.
    `block_images` is used where the candidates are not stored yet.

    Raises UserError when the ranker cannot be read, or a store or its ledger is damaged.
    """
    parts = identify_ranker(ranker_file)
    judgement = read_judgement(workspace, key, fingerprint(parts))
    trust = 1.0 if judgement is None else judgement.trust
    spec = RankSpec(
        workspace, key, ranker_file.absolute(), fingerprint(parts), index.digest, above, trust, asked
    )
    candidates, scores = workspace.candidates(key), workspace.scores(key, spec.ranker)
    store = ScoreStore.open(scores) if ScoreStore.exists(scores) else None
    if store is not None:
        block_images = store.block_images
    elif CandidateStore.exists(candidates):
        block_images = CandidateStore.open(candidates).block_images
    blocks = plan_blocks(
        trusted_digests(index.row_digests, above, trust, asked_digest(asked)),
        Ledger(workspace.scores_ledger(key, spec.ranker)).read(),
        store.shard_bytes() if store else {},
        block_images,
        store.num_images if store else 0,
    )
    return RankPlan(spec, index, blocks, parts, block_images, judgement)
