"""Hits of blocks of images, joined to those of all images: what `match` of the whole would have given."""

from collections.abc import Sequence
from itertools import accumulate

import numpy as np
from jaxtyping import Int

from crface.evaluation.matching import Hits, score_range


def joined_hits(parts: Sequence[Hits]) -> Hits:
    """The images of all parts, one part after another; no images without parts.

    Matching looks at one image at a time, so that this is exact. What is joined takes 12 bytes a detection with
    scores of single precision, and 8 a face.
    """
    num_detections = _joined([part.num_detections for part in parts])
    num_faces = _joined([part.num_faces for part in parts])
    scores = np.concatenate([np.zeros(0, np.float32), *(part.scores for part in parts)])
    first_face = [0, *accumulate(len(part.finder) for part in parts)]
    first_row = [0, *accumulate(len(part.scores) for part in parts)]
    return Hits(
        scores=scores,
        face=_joined([_moved(part.face, first) for part, first in zip(parts, first_face[:-1], strict=True)]),
        finder=_joined(
            [_moved(part.finder, first) for part, first in zip(parts, first_row[:-1], strict=True)]
        ),
        num_detections=num_detections,
        num_faces=num_faces,
        ascending_scores=np.sort(np.concatenate([scores[:0], *(part.ascending_scores for part in parts)])),
        score_range=score_range(scores),
    )


def _moved(numbers: Int[np.ndarray, " number"], first: int) -> Int[np.ndarray, " number"]:
    return np.where(numbers >= 0, numbers + first, -1)


def _joined(arrays: Sequence[Int[np.ndarray, " _"]]) -> Int[np.ndarray, " joined"]:
    joined: np.ndarray = np.concatenate([np.zeros(0, np.int32), *arrays])
    return joined
