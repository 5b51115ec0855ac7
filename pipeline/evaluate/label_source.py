"""Where the labels of an evaluated split are read, and which labels they have to be."""

from dataclasses import dataclass
from pathlib import Path

from pipeline.dataset.index import Index
from pipeline.ground_truth.truth import ground_truth_sha256
from pipeline.workspace.layout import Workspace


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelSource:
    """The index and ground truth of a split, as the driver saw them; sent with each block."""

    workspace: Workspace
    split: str
    index_digest: str
    labels_digest: str
    ground_truth: Path | None
    """The folder of the official `.mat` files; None if none was given."""
    ground_truth_sha256: str


def label_source(workspace: Workspace, index: Index, ground_truth: Path | None) -> LabelSource:
    """The labels of an index, or the official ones; nothing is parsed.

    Raises UserError when there is neither ground truth nor a label.
    """
    return LabelSource(
        workspace=workspace,
        split=index.split,
        index_digest=index.digest,
        labels_digest=index.labels_digest,
        ground_truth=None if ground_truth is None else ground_truth.absolute(),
        ground_truth_sha256=ground_truth_sha256(index, ground_truth),
    )
