"""What an evaluation is of, and all that decides its results."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pipeline.blocks.trust import recorded_trust
from pipeline.config.sections import EvaluateConfig
from pipeline.dataset.index import Index
from pipeline.evaluate.sources import Source
from pipeline.ground_truth.truth import ground_truth_sha256
from pipeline.workspace.fingerprint import Parts
from pipeline.workspace.layout import Workspace

EVALUATE_VERSION: Final = 2
"""Raised when this stage, or what it calls, changes in a way that changes its numbers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationInput:
    """What is evaluated: candidates on the images of a split, against its ground truth."""

    workspace: Workspace
    """Where the candidates and scores are stored, and the results go."""
    index: Index
    sources: Sequence[Source]
    config: EvaluateConfig
    ground_truth: Path | None = None
    """A folder of official `.mat` files; None where the data set has them, or labels alone."""


def plan_evaluate(evaluation: EvaluationInput) -> Parts:
    """All that decides the results, found without reading candidates; `results.ap.changes` compares it with them.

    Raises UserError when the split has neither ground truth nor labels, or files of it are missing.
    """
    index = evaluation.index
    return {
        "stage": "evaluate",
        "version": EVALUATE_VERSION,
        "split": index.split,
        "images": index.digest,
        "labels": index.labels_digest,
        "ground truth": ground_truth_sha256(index, evaluation.ground_truth),
        "evaluate": evaluation.config.model_dump(),
        "sources": {
            f"{source.key.detector} {source.key.protocol} {source.key.fingerprint}": {
                "weights": source.weights,
                "input size": source.input_size,
                "ranker": source.ranker,
                **_trust(evaluation.workspace, source),
            }
            for source in evaluation.sources
        },
    }


def _trust(workspace: Workspace, source: Source) -> Parts:
    """How far the ranker is trusted and whom it asks; named only where it is not fully trusted, or asks somebody.

    So older results stay up to date.
    """
    trust, asked = recorded_trust(workspace, source.key, source.ranker) if source.ranker else (1.0, "")
    return ({} if trust == 1 else {"trust": trust}) | ({"asked": asked} if asked else {})
