"""The images of a split as one detector and its ranker see them, read from the stores."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import repeat

import numpy as np

from pipeline.blocks.store import CandidateStore, ScoreStore
from pipeline.config.sections import EvaluateConfig
from pipeline.dataset.index import Index
from pipeline.evaluate.sources import Source
from pipeline.ground_truth.truth import GroundTruth, overlap
from pipeline.report.gallery.judging import Faces, JudgedImage, judge_image
from pipeline.workspace.layout import Workspace

SETTING = "hard"
"""The setting whose faces count: the one that keeps most."""


@dataclass(frozen=True, slots=True, eq=False)
class SplitFaces:
    """The faces of a split's images, by row; none for an image that the ground truth does not know."""

    of_row: dict[int, Faces]
    is_labelled: bool
    """Whether there is any ground truth."""


@dataclass(frozen=True, slots=True, eq=False)
class SourceImages:
    """What is stored of one source, and what it is judged by."""

    source: Source
    candidates: CandidateStore
    scores: ScoreStore | None
    faces: SplitFaces
    config: EvaluateConfig

    @property
    def after(self) -> str:
        """The confidence of the second side: ranked, or oracle without a ranker; empty without faces as well."""
        return "ranked" if self.scores is not None else "oracle" if self.faces.is_labelled else ""

    def judged(self, row: int) -> JudgedImage:
        """One image, judged.

        Raises NotComputed when nothing is stored for it, DamagedBlockError, IndexError.
        """
        candidates = self.candidates.read(row)
        refined = None if self.scores is None else self.scores.read(row)
        return judge_image(row, candidates, refined, self.faces.of_row.get(row), self.config)

    def judged_each(self, rows: Sequence[int]) -> Iterator[JudgedImage]:
        """Those of the images for which something is stored, judged in turn. Raises DamagedBlockError."""
        counts = [store.counts() for store in (self.candidates, self.scores) if store is not None]
        stored = [row for row in rows if all(row < len(of_rows) and of_rows[row] >= 0 for of_rows in counts)]
        refined = repeat(None) if self.scores is None else self.scores.read_each(stored)
        for row, candidates, scores in zip(stored, self.candidates.read_each(stored), refined, strict=False):
            yield judge_image(row, candidates, scores, self.faces.of_row.get(row), self.config)


def split_faces(index: Index, truth: GroundTruth | None) -> SplitFaces:
    """The faces of the index's images. Raises UserError as `overlap` does."""
    if truth is None:
        return SplitFaces({}, is_labelled=False)
    common, kept = overlap(truth, index), truth.kept[SETTING]
    return SplitFaces(
        {
            row: Faces(truth.faces[image].astype(np.float64), kept[image])
            for row, image in zip(common.rows, common.images, strict=True)
        },
        is_labelled=True,
    )


def open_images(
    workspace: Workspace, source: Source, faces: SplitFaces, config: EvaluateConfig
) -> SourceImages:
    """A source's stores, opened for reading. Raises UserError when one is missing or damaged."""
    scores = ScoreStore.open(workspace.scores(source.key, source.ranker)) if source.ranker else None
    return SourceImages(source, CandidateStore.open(workspace.candidates(source.key)), scores, faces, config)


def source_name(source: Source) -> str:
    """A source's name in a menu: the detector, and the protocol unless it is `single`."""
    key = source.key
    return key.detector if key.protocol == "single" else f"{key.detector}, {key.protocol}"
