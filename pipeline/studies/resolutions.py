"""AP of predicted and oracle confidence over the size at which a detector sees the images (paper 3.1, Figure 2)."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Final

import numpy as np

from detectors.protocols import named
from pipeline.dataset.index import Index
from pipeline.evaluate.plan import EvaluationInput, plan_evaluate
from pipeline.evaluate.work import Measured, Progress, measure
from pipeline.ground_truth.truth import SETTINGS
from pipeline.results.resolutions import ResolutionRow, write_resolutions
from pipeline.workspace.fingerprint import Parts

RESOLUTIONS_VERSION: Final = 1
"""Raised when this module changes in a way that changes its numbers."""


def plan_resolutions(evaluation: EvaluationInput) -> Parts:
    """All that decides the rows, found without reading candidates.

    Raises UserError as `plan_evaluate` does.
    """
    parts = plan_evaluate(evaluation)
    return {**parts, "stage": "evaluate resolutions", "resolutions version": RESOLUTIONS_VERSION}


def evaluate_resolutions(
    evaluation: EvaluationInput, heights_px: Sequence[int], progress: Progress | None = None
) -> None:
    """Compute and write the rows of a split: for every height and detector those that `measure` gives in SETTINGS.

    Each source holds candidates under a protocol of one view; `heights_px` are these views' heights, in the order of
    the sources. The same images count at every height.

    Raises UserError as `measure` does, and when the table cannot be written.
    """
    # no intervals: the figure does not show them, and they would be drawn at every height
    without = evaluation.config.model_copy(update={"resamples": 0})
    found = measure(replace(evaluation, config=without), progress)
    index = evaluation.index
    chosen = [row for row in found.rows if row.setting in SETTINGS]
    height_of = {
        source.key.fingerprint: height for source, height in zip(evaluation.sources, heights_px, strict=True)
    }
    faces = {
        (protocol, setting): _kept_heights(index, found, protocol, setting)
        for protocol, setting in dict.fromkeys((row.protocol, row.setting) for row in chosen)
    }
    rows = []
    for row in chosen:
        heights = faces[row.protocol, row.setting]
        seen = np.concatenate(heights)
        rows.append(
            ResolutionRow(
                **asdict(row),
                height_px=height_of[row.fingerprint],
                face_px=float(np.median(seen)) if len(seen) else float("nan"),
                most_faces=max(map(len, heights)),
            )
        )
    notes = [note.text for note in found.notes]
    write_resolutions(evaluation.workspace, index.split, rows, notes, plan_resolutions(evaluation))


def _kept_heights(index: Index, found: Measured, protocol: str, setting: str) -> list[np.ndarray]:
    """The heights of each image's faces that a setting keeps, in pixels of what the detector sees."""
    (view,) = named(protocol).views
    heights = []
    for row, image in found.images:
        size = index.row(row)
        boxes = found.truth.faces[image][found.truth.kept[setting][image]]
        scale = view.size(size.height, size.width)[0] / size.height
        heights.append((boxes[:, 3] - boxes[:, 1]) * scale)
    return heights
