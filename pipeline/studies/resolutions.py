"""AP of predicted and oracle confidence over the size at which a detector sees the images (paper 3.1, Figure 2)."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Final

import numpy as np

from detectors.protocols import named
from pipeline.config.sections import EvaluateConfig
from pipeline.dataset.index import Index
from pipeline.evaluate.plan import plan_evaluate
from pipeline.evaluate.sources import Source
from pipeline.evaluate.work import Measured, measure
from pipeline.ground_truth.truth import SETTINGS
from pipeline.results.resolutions import ResolutionRow, write_resolutions
from pipeline.workspace.fingerprint import Parts
from pipeline.workspace.layout import Workspace

RESOLUTIONS_VERSION: Final = 1
"""Raised when this module changes in a way that changes its numbers."""


def plan_resolutions(
    index: Index,
    sources: Mapping[int, Sequence[Source]],
    config: EvaluateConfig,
    ground_truth: Path | None = None,
) -> Parts:
    """Give all that decides the rows, without reading candidates; `sources` are by image height in pixels.

    Raises UserError as `plan_evaluate` does.
    """
    parts = plan_evaluate(index, _flat(sources), config, ground_truth)
    return {**parts, "stage": "evaluate resolutions", "resolutions version": RESOLUTIONS_VERSION}


def evaluate_resolutions(
    workspace: Workspace,
    index: Index,
    sources: Mapping[int, Sequence[Source]],
    config: EvaluateConfig,
    ground_truth: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Compute and write the rows of a split: for every height and detector those that `measure` gives in SETTINGS.

    `sources` hold, for each image height in pixels, candidates under a protocol of one view of that height.
    The same images count at every height. `progress` is called as by `measure`.

    Raises UserError as `measure` does, and when the table cannot be written.
    """
    # no intervals: the figure does not show them, and they would be drawn at every height
    without = config.model_copy(update={"resamples": 0})
    found = measure(workspace, index, _flat(sources), without, ground_truth, progress)
    chosen = [row for row in found.rows if row.setting in SETTINGS]
    height_of = {source.key.fingerprint: height for height, group in sources.items() for source in group}
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
    parts = plan_resolutions(index, sources, config, ground_truth)
    write_resolutions(workspace, index.split, rows, found.notes, parts)


def _flat(sources: Mapping[int, Sequence[Source]]) -> list[Source]:
    return [source for group in sources.values() for source in group]


def _kept_heights(index: Index, found: Measured, protocol: str, setting: str) -> list[np.ndarray]:
    """Give the heights of each image's faces that a setting keeps, in pixels of what the detector sees."""
    (view,) = named(protocol).views
    heights = []
    for row, image in found.images:
        size = index.row(row)
        boxes = found.truth.faces[image][found.truth.kept[setting][image]]
        scale = view.size(size.height, size.width)[0] / size.height
        heights.append((boxes[:, 3] - boxes[:, 1]) * scale)
    return heights
