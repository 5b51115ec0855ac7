"""The labelled faces that an evaluation uses: those of a whole split, or of the images of a block."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Float64, Int8

from crface.array_shapes import FaceMask
from pipeline.dataset.index import ImageRow, Index, load_index
from pipeline.dataset.index_file import read_index_part
from pipeline.errors import UserError
from pipeline.evaluate.label_source import LabelSource
from pipeline.evaluate.spec import EvaluateSpec
from pipeline.ground_truth.face_groups import known_attributes, with_more_settings
from pipeline.ground_truth.truth import GroundTruth, Overlap, load_ground_truth, overlap, rows_by_height


@dataclass(frozen=True, slots=True, eq=False)
class Labels:
    """A split's index and ground truth, with all settings."""

    index: Index
    truth: GroundTruth
    common: Overlap
    image_of_row: dict[int, int]
    """The place in the ground truth of every row of the index that it knows."""


@dataclass(frozen=True, slots=True, eq=False)
class ImageLabels:
    """One image's faces."""

    faces: Float64[np.ndarray, "face 4"]
    kept: dict[str, FaceMask]
    """Which faces each setting keeps."""
    attributes: Int8[np.ndarray, "face 6"]
    """As in the index; -1 where they are not known."""


def image_labels(spec: EvaluateSpec, rows: Sequence[int]) -> Iterator[ImageLabels]:
    """The faces of each of a block's rows; the rows ascend, and there is at least one.

    Where the index alone has them and `spec.reads_block_alone`, only the groups of its rows that hold them are
    read: a worker then needs the same memory for any number of images. Official files are read whole.

    Raises UserError as `open_labels` does.
    """
    if spec.reads_block_alone and spec.is_by_height and (part := _part(spec, rows)) is not None:
        truth = with_more_settings(rows_by_height(part, spec.labels.split, spec.labels.ground_truth_sha256))
        places, entries = list(range(len(part))), part
    else:
        labels = open_labels(spec.labels)
        truth = labels.truth
        places = [labels.image_of_row[row] for row in rows]
        entries = [labels.index.row(row) for row in rows]
    for place, entry in zip(places, entries, strict=True):
        faces = truth.faces[place]
        yield ImageLabels(
            faces,
            {setting: masks[place] for setting, masks in truth.kept.items()},
            known_attributes(faces, entry.faces.astype(np.float64), entry.attributes),
        )


@lru_cache(maxsize=1)  # kept for the next block
def open_labels(source: LabelSource) -> Labels:
    """A split's labels, which must be those that the driver planned with.

    Raises UserError if they are not, and as `load_index` and `load_ground_truth` do.
    """
    index = load_index(source.workspace, source.split)
    truth = load_ground_truth(index, source.ground_truth)
    found = (index.digest, index.labels_digest, truth.sha256)
    if found != (source.index_digest, source.labels_digest, source.ground_truth_sha256):
        raise UserError(
            f"the index of {source.split} in {source.workspace.root}, or its ground truth, is not the one that "
            "this command was started with: give every worker the same folders, and run the command again"
        )
    common = overlap(truth, index)
    return Labels(
        index, with_more_settings(truth), common, dict(zip(common.rows, common.images, strict=True))
    )


def _part(spec: EvaluateSpec, rows: Sequence[int]) -> list[ImageRow] | None:
    source = spec.labels
    path = source.workspace.index(source.split)
    found = read_index_part(path, source.index_digest, rows[0], rows[-1] + 1, source.labels_digest)
    return None if found is None else [found[1][row - rows[0]] for row in rows]
