"""Four labelled images with stored candidates and scores, evaluated, for tests of what the report says of them."""

import functools
import pickle
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import cv2
import numpy as np

from pipeline.blocks.ledger import Ledger, LedgerRow
from pipeline.blocks.store import CandidateStore, RowStore, ScoreStore
from pipeline.blocks.trust import trusted_digests
from pipeline.config.sections import EvaluateConfig, RunConfig
from pipeline.dataset.index import Index, update_index
from pipeline.evaluate.plan import EvaluationInput
from pipeline.evaluate.sources import Source
from pipeline.evaluate.work import evaluate
from pipeline.report import ReportInput, build_report, changes, plan_report
from pipeline.report.chart_model import Figure
from pipeline.report.plots import figure_files
from pipeline.workspace.layout import CandidateKey, Workspace
from pipeline.workspace.place import Place

RANKER = "0123456789abcdef"
WEIGHTS = "c0ffee" * 10
EVIL = "<b onclick=alert(1)>&\"'{{ title }}.jpg"
WIDE = (100, 1000)

Labels = Mapping[str, Sequence[tuple[int, int, int, int, int]]]
"""The faces of each image: x, y, width, height, and 1 where the label is flagged invalid."""
Candidates = Mapping[str, Sequence[tuple[float, float, float, float, float, float]]]
"""The boxes of each image: x1, y1, x2, y2, predicted and refined confidence."""

# 60 px faces count in all settings
LABELS: Labels = {
    "e/plain.jpg": [(10, 10, 60, 60, 0), (110, 10, 60, 60, 0)],
    f"e/{EVIL}": [(10, 10, 60, 60, 0)],
    "e/faceless.jpg": [],
    "e/wide.jpg": [(10, 10, 60, 60, 0), (300, 10, 60, 60, 1)],
}
CANDIDATES: Candidates = {
    "e/plain.jpg": [
        (10, 10, 70, 70, 0.9, 0.90),  # the first face
        (200, 100, 260, 160, 0.8, 0.10),  # nothing
        (110, 10, 170, 70, 0.3, 0.85),  # the second face
    ],
    f"e/{EVIL}": [(10, 10, 70, 70, 0.6, 0.80)],
    "e/faceless.jpg": [(10, 10, 70, 70, 0.5, 0.05)],
    "e/wide.jpg": [
        (10, 10, 70, 70, 0.7, 0.70),  # the face
        (300, 10, 360, 70, 0.65, 0.75),  # the face that is flagged invalid
        (500, 10, 560, 70, 0.01, 0.99),  # below the threshold
    ],
}


@dataclass(frozen=True)
class Run:
    """An evaluated workspace with a report to be built."""

    workspace: Workspace
    index: Index
    sources: Sequence[Source]
    config: RunConfig

    def build(self, title: str = "A run") -> str:
        """The page; a figure that another page of this session had as well is not drawn again for its files."""
        with figures_drawn_once():
            return build_report(self.about(title)).read_text()

    def changes(self, title: str = "A run") -> list[str]:
        return changes(self.workspace, plan_report(self.about(title)))

    def about(self, title: str) -> ReportInput:
        return ReportInput(self.evaluation, self.config, title)

    @property
    def evaluation(self) -> EvaluationInput:
        return EvaluationInput(
            workspace=self.workspace,
            index=self.index,
            sources=self.sources,
            config=self.config.evaluate,
        )


@contextmanager
def figures_drawn_once() -> Iterator[None]:
    """Reports that are built meanwhile have no figure drawn that another one in this process had as well."""
    with mock.patch("pipeline.report.page.figure_files", _figure_files):
        yield


def _figure_files(figures: Iterable[Figure]) -> dict[str, bytes]:
    return {name: data for figure in figures for name, data in _drawn(pickle.dumps(figure)).items()}


@functools.cache
def _drawn(figure: bytes) -> dict[str, bytes]:
    return figure_files([pickle.loads(figure)])


def report_run(
    folder: Path, *, ranker: str = RANKER, labels: Labels = LABELS, candidates: Candidates = CANDIDATES
) -> Run:
    """Images, by default the four above, detected, ranked unless `ranker` is empty, and evaluated."""
    data = folder / "data"
    lines: list[str] = []
    for number, (path, faces) in enumerate(labels.items()):
        size = WIDE if "wide" in path else (200, 300)
        pixels = np.random.default_rng(number).integers(0, 255, (*size, 3), dtype=np.uint8)
        ok, jpeg = cv2.imencode(".jpg", pixels)
        assert ok
        file = data / "WIDER_val" / "images" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(jpeg.tobytes())
        lines += [path, str(len(faces)), *(f"{x} {y} {w} {h} 0 0 0 {bad} 0 0" for x, y, w, h, bad in faces)]
    text = data / "wider_face_split" / "wider_face_val_bbx_gt.txt"
    text.parent.mkdir()
    text.write_text("\n".join(lines) + "\n")

    workspace = Workspace(folder / "run")
    index = update_index(workspace, data, "val").index
    run = Run(
        workspace, index, [store_source(workspace, index, "some-detector", ranker, candidates)], RunConfig()
    )
    evaluate(run.evaluation)
    return run


def store_source(
    workspace: Workspace, index: Index, detector: str, ranker: str, candidates: Candidates
) -> Source:
    """Store a detector's candidates, and the refined confidences unless `ranker` is empty."""
    key = CandidateKey(index.split, detector, "single", "feed")
    rows = [np.array(candidates[row.path], np.float32) for row in index.rows(0, len(index))]
    attrs = {"detector": detector, "protocol": "single", "weights": WEIGHTS}
    sizes = store_rows(CandidateStore, workspace.candidates(key), [row[:, :5] for row in rows], attrs)
    commit_rows(Ledger(workspace.candidates_ledger(key)), index.row_digests, sizes)
    if ranker:
        sizes = store_rows(ScoreStore, workspace.scores(key, ranker), [row[:, 5] for row in rows])
        commit_rows(Ledger(workspace.scores_ledger(key, ranker)), refined_digests(index), sizes)
    return Source(key=key, weights=WEIGHTS, ranker=ranker, training=ranker)


def store_rows(
    kind: type[RowStore], path: Place, rows: list[np.ndarray], attrs: Mapping[str, str] | None = None
) -> tuple[int, ...]:
    """Store each image's rows, all in one block; the sizes of its files."""
    return kind.create_or_grow(path, len(rows), len(rows), attrs or {}).write_block(0, rows)


def refined_digests(index: Index) -> Sequence[str]:
    """What each row of scores is made from, with the default threshold and full trust."""
    return trusted_digests(index.row_digests, EvaluateConfig().score_threshold, 1.0)


def commit_rows(ledger: Ledger, digests: Sequence[str], sizes: tuple[int, ...]) -> None:
    """Record the block of all images as done."""
    ledger.commit(
        LedgerRow(
            shard_bytes=sizes,
            block=0,
            start=0,
            stop=len(digests),
            row_digests=tuple(digests),
            seconds=1.5,
            worker="w",
            device="a device",
        )
    )
