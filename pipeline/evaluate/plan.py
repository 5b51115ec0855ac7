"""All that decides the results of an evaluation."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from pipeline.config.sections import EvaluateConfig
from pipeline.dataset.index import Index
from pipeline.evaluate.sources import Source
from pipeline.ground_truth.truth import ground_truth_sha256
from pipeline.workspace.fingerprint import Parts

EVALUATE_VERSION: Final = 2
"""Raised when this stage, or what it calls, changes in a way that changes its numbers."""


def plan_evaluate(
    index: Index, sources: Sequence[Source], config: EvaluateConfig, ground_truth: Path | None = None
) -> Parts:
    """Give all that decides the results, without reading candidates; `results.changes` compares it with them.

    Raises UserError when the split has neither ground truth nor labels, or files of it are missing.
    """
    return {
        "stage": "evaluate",
        "version": EVALUATE_VERSION,
        "split": index.split,
        "images": index.digest,
        "labels": index.labels_digest,
        "ground truth": ground_truth_sha256(index, ground_truth),
        "evaluate": config.model_dump(),
        "sources": {
            f"{source.key.detector} {source.key.protocol} {source.key.fingerprint}": {
                "weights": source.weights,
                "input size": source.input_size,
                "ranker": source.ranker,
            }
            for source in sources
        },
    }
