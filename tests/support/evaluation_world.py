"""A data set of few faces with stored candidates and scores, whose AP can be computed by hand."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from wider_folder import Picture, write_data_set

from pipeline.blocks.commit import ComputedRow, compute_block
from pipeline.blocks.ledger import Ledger
from pipeline.blocks.plan import plan_blocks
from pipeline.blocks.store import CandidateStore, RowStore, ScoreStore
from pipeline.blocks.trust import trusted_digests
from pipeline.config.sections import EvaluateConfig
from pipeline.dataset.index import Index, update_index
from pipeline.evaluate.plan import EvaluationInput
from pipeline.evaluate.sources import Source
from pipeline.evaluate.work import EvaluateReport, evaluate
from pipeline.workspace.layout import CandidateKey, Workspace

CONFIG = EvaluateConfig(resamples=40)
KEY = CandidateKey("val", "pretended", "single", "0123456789abcdef")
SOURCE = Source(key=KEY, weights="5" * 64)
RANKED_SOURCE = Source(key=KEY, weights="5" * 64, ranker="fedcba9876543210")

# three faces of 60 pixels, and a place without any
A, B, C = (0, 0, 60, 60), (100, 0, 160, 60), (200, 0, 260, 60)
NOWHERE = (500, 500, 560, 560)
FACES = [(0, 0, 60, 60), (100, 0, 60, 60), (200, 0, 60, 60)]
CANDIDATES = [(*A, 0.9), (*NOWHERE, 0.8), (*B, 0.1), (*C, 0.01)]
REFINED = [0.9, 0.3, 0.8, 0.7]


def rows(*items: tuple[float, ...]) -> np.ndarray:
    return np.array(items, dtype=np.float32).reshape(-1, 5)


class Run:
    """A data set on disk, its workspace, and a way to store what a detector or ranker would have."""

    def __init__(self, root: Path):
        self.root = root
        self.workspace = Workspace(root / "run")

    def data(self, *pictures: Picture) -> "Run":
        write_data_set(self.root / "data", pictures)
        return self

    @property
    def index(self) -> Index:
        return update_index(self.workspace, self.root / "data", "val").index

    def candidates(self, *images: np.ndarray | None, key: CandidateKey = KEY) -> "Run":
        path, ledger = self.workspace.candidates(key), self.workspace.candidates_ledger(key)
        return self._store(CandidateStore, path, ledger, images, self.index.row_digests)

    def scores(self, *images: np.ndarray | None) -> "Run":
        ranker = RANKED_SOURCE.ranker
        path, ledger = self.workspace.scores(KEY, ranker), self.workspace.scores_ledger(KEY, ranker)
        return self._store(
            ScoreStore,
            path,
            ledger,
            images,
            trusted_digests(self.index.row_digests, CONFIG.score_threshold, 1.0),
        )

    def _store(
        self,
        kind: type[RowStore],
        path: Path,
        folder: Path,
        images: Sequence[np.ndarray | None],
        digests: Sequence[str],
    ) -> "Run":
        ledger = Ledger(folder)
        store = kind.create_or_grow(path, len(digests), 2, {})
        for block in plan_blocks(digests, ledger.read(), store.shard_bytes(), 2, store.num_images):
            compute_block(
                store,
                ledger,
                block,
                lambda rows: [ComputedRow(row, images[row], digests[row]) for row in rows],
                "cpu",
            )
        return self

    def evaluate(self, *sources: Source, config: EvaluateConfig = CONFIG) -> EvaluateReport:
        return evaluate(self.input(*sources, config=config))

    def input(self, *sources: Source, config: EvaluateConfig = CONFIG) -> EvaluationInput:
        return EvaluationInput(
            workspace=self.workspace, index=self.index, sources=sources or (SOURCE,), config=config
        )
