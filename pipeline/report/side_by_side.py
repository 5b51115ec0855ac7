"""Predictions side by side, one scale, several scales, and ranked (Figures 8 and 12 to 14)."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
from jaxtyping import Float, Float32, Float64, UInt8

from crface.evaluation import match
from pipeline.blocks.store import CandidateStore, ImageUnreadable, ScoreStore
from pipeline.config.sections import EvaluateConfig
from pipeline.dataset.index import Index, load_index
from pipeline.errors import UserError
from pipeline.evaluate.detections import stored_detections
from pipeline.ground_truth.truth import SETTINGS, GroundTruth, load_ground_truth, overlap
from pipeline.images.decode import ImageError
from pipeline.report.chart_model import stem
from pipeline.report.jpeg import data_uri, reduced_jpeg
from pipeline.results.protocols import ComparisonRow, line_name, ranker_name
from pipeline.workspace.layout import CandidateKey, Workspace

SHOWN_ABOVE: Final = 0.5
"""The confidence from which the paper shows boxes."""

_MOST_IMAGES, _MOST_SEEN = 3, 60
_LONG_SIDE_PX = 640


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """One image under one protocol or ranker."""

    name: str
    boxes: Float[np.ndarray, "detection 4"]
    """Those above SHOWN_ABOVE, best first."""
    is_hit: np.ndarray
    """Whether each hits a face that no better one hits."""
    num_found: int


@dataclass(frozen=True, slots=True, eq=False)
class Sight:
    """One image with all its views."""

    path: str
    width: int
    height: int
    num_faces: int
    jpeg: bytes
    views: list[View]

    @property
    def picture(self) -> str:
        """The image as an address inside the page."""
        return data_uri(self.jpeg)


@dataclass(frozen=True, slots=True)
class SideBySide:
    """The images of one detector, those first on which the views differ most."""

    name: str
    """The stem of its files."""
    title: str
    sights: list[Sight]
    num_seen: int
    """Of how many images they were chosen."""


def side_by_side(
    workspace: Workspace,
    rows: Sequence[ComparisonRow],
    config: EvaluateConfig,
    data_root: Path,
    ground_truth: Path | None,
) -> list[SideBySide]:
    """For each detector and split where one scale was compared with several, the images whose views differ most.

    Raises UserError when candidates or scores are damaged.
    """
    found = []
    for number, shown in enumerate(_compared(rows), 1):
        first = shown[0]
        home = workspace.subset(first.images) if first.images < first.split_images else workspace
        try:
            index = load_index(home, first.split)
            # where the data set is now: a workspace that was moved with it records that for its own indexes only
            index = replace(index, header=replace(index.header, data_root=str(data_root)))
            truth = load_ground_truth(index, ground_truth)
        except UserError:
            continue  # the compared images are gone; their numbers are not
        sights, num_seen = _sights(home, index, truth, shown, config)
        if sights:
            title = f"{first.detector} on {first.split}"
            found.append(SideBySide(stem("side-by-side", number, title), title, sights, num_seen))
    return found


def _compared(rows: Sequence[ComparisonRow]) -> list[list[ComparisonRow]]:
    """The lines to show together: one pass, several views, and one pass ranked, by the protocol's own ranker if any."""
    own = [row for row in rows if row.setting == SETTINGS[-1]]
    groups = []
    for detector, split in dict.fromkeys((row.detector, row.split) for row in own):
        here = {row.line: row for row in own if (row.detector, row.split) == (detector, split)}
        for one, several in (("single", "multi"), *((name.removesuffix("-multi"), name) for name in here)):
            if one != several and one in here and several in here:
                ranked = (line_name(one, ranker_name(one)), line_name(one, ranker_name()))
                last = next((here[line] for line in ranked if line in here), None)
                groups.append([here[one], here[several], *([last] if last else [])])
    return groups


def _sights(
    workspace: Workspace,
    index: Index,
    truth: GroundTruth,
    rows: Sequence[ComparisonRow],
    config: EvaluateConfig,
) -> tuple[list[Sight], int]:
    common = overlap(truth, index)
    stores = []
    for row in rows:
        key = CandidateKey(row.split, row.detector, row.protocol, row.fingerprint)
        scores = ScoreStore.open(workspace.scores(key, row.ranker)) if row.ranker else None
        stores.append((row.line, CandidateStore.open(workspace.candidates(key)), scores))
    ranked = []
    for number, image in list(zip(common.rows, common.images, strict=True))[:_MOST_SEEN]:
        faces = truth.faces[image][truth.kept[SETTINGS[-1]][image]]
        try:
            views = [
                _view(line, candidates.read(number), scores.read(number) if scores else None, faces, config)
                for line, candidates, scores in stores
            ]
        except ImageUnreadable:
            continue
        worth = [view.num_found - int((~view.is_hit).sum()) for view in views]
        ranked.append((max(worth) - min(worth), number, len(faces), views))
    ranked.sort(key=lambda item: (-item[0], item[1]))
    sights = []
    for _, number, num_faces, views in ranked[:_MOST_IMAGES]:
        try:
            pixels: UInt8[np.ndarray, "height width 3"] = index.read_image(number)
        except ImageError:
            continue
        height, width, _ = pixels.shape
        jpeg = reduced_jpeg(pixels, _LONG_SIDE_PX)
        sights.append(Sight(index.row(number).path, width, height, num_faces, jpeg, views))
    return sights, len(ranked)


def _view(
    name: str,
    candidates: Float32[np.ndarray, "candidate 5"],
    refined: Float32[np.ndarray, " candidate"] | None,
    faces: Float64[np.ndarray, "face 4"],
    config: EvaluateConfig,
) -> View:
    detections = stored_detections(candidates, refined, config)
    detections = detections[detections[:, 4] > SHOWN_ABOVE]
    is_hit = np.zeros(len(detections), dtype=bool)
    if len(faces) and len(detections):
        finder = match([detections], [faces], config.iou).finder
        is_hit[finder[finder >= 0]] = True
    return View(name, detections[:, :4], is_hit, int(is_hit.sum()))
