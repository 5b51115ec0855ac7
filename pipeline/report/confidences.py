"""Confidences before and after: how they are distributed, and how far they keep the oracle's order (Figure 4).

Other rankers whose refined confidences the workspace has for the same candidates are drawn too, by their loss: so a
ranker of each loss, trained and applied one after the other, gives the paper's figure.
"""

import tomllib
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch

from crface.evaluation.order import OrderTally, order_tally, summed
from crface.oracle import oracle_confidence
from pipeline.blocks.arrays import NOT_COMPUTED
from pipeline.blocks.store import CandidateStore, ImageUnreadable, ScoreStore
from pipeline.config.sections import EvaluateConfig
from pipeline.dataset.index import Index
from pipeline.errors import UserError
from pipeline.evaluate.sources import Source
from pipeline.ground_truth.truth import GroundTruth, overlap
from pipeline.report.chart_model import Figure, stem
from pipeline.report.order_panels import CAPTION, OrderLine, order_panels
from pipeline.report.other_rankers import other_rankers
from pipeline.report.palette import series_style
from pipeline.workspace.layout import Workspace

MOST_IMAGES: Final = 200
"""Images that the figure is made from, evenly spaced in the split: candidates of all images may be gigabytes."""

MOST_RANKERS: Final = 6
"""Other rankers that are drawn beside the run's own."""


@dataclass(frozen=True, slots=True, eq=False)
class Sampled:
    """Confidences of the sampled images' candidates above the threshold."""

    num_images: int
    num_of: int
    """Images with ground truth, of which `num_images` were looked at."""
    tallies: dict[tuple[str, str], OrderTally]
    """By name and style; the oracle last."""


def confidence_figure(
    workspace: Workspace,
    index: Index,
    source: Source,
    truth: GroundTruth,
    config: EvaluateConfig,
    number: int,
) -> Figure | None:
    """The distributions, and the order kept, of one source; None where no image has a candidate.

    Raises UserError when candidates or scores are missing or damaged.
    """
    sampled = sample(workspace, index, source, truth, config)
    if not any(tally.num_images for tally in sampled.tallies.values()):
        return None
    detector = source.key.detector
    part = (
        f"{sampled.num_images} of {sampled.num_of} images"
        if sampled.num_images < sampled.num_of
        else "all images"
    )
    lines = [
        OrderLine(name, style, tally.share, tally.mean_overlap, tally.mean_kendall)
        for (name, style), tally in sampled.tallies.items()
    ]
    return Figure(
        stem("confidences", number, detector),
        f"Confidences of {detector}",
        order_panels(lines),
        f"Candidates above {config.score_threshold:g} of {part}. {CAPTION}",
    )


def sample(
    workspace: Workspace, index: Index, source: Source, truth: GroundTruth, config: EvaluateConfig
) -> Sampled:
    """Predicted, ranked and oracle confidences of at most MOST_IMAGES images.

    Raises UserError when candidates or scores are missing or damaged.
    """
    common = overlap(truth, index)
    pairs = list(zip(common.rows, common.images, strict=True))
    places = np.linspace(0, len(pairs) - 1, min(MOST_IMAGES, len(pairs))).round().astype(int)
    chosen = [pairs[place] for place in places]
    candidates = CandidateStore.open(workspace.candidates(source.key))
    scores = _score_stores(workspace, source)
    tallies: dict[tuple[str, str], list[OrderTally]] = {("predicted", "predicted"): []}
    tallies |= {key: [] for key in (*scores, ("oracle", "oracle"))}
    num_images = 0
    for row, image in chosen:
        try:
            boxes = candidates.read(row)
            refined = {key: store.read(row) for key, store in scores.items()}
        except ImageUnreadable:
            continue
        is_above = boxes[:, 4] > config.score_threshold
        faces = torch.from_numpy(truth.faces[image].astype(np.float32))
        oracle = oracle_confidence(torch.from_numpy(boxes[:, :4].copy()), faces).numpy()
        every = {("predicted", "predicted"): boxes[:, 4], **refined, ("oracle", "oracle"): oracle}
        for key, values in every.items():
            tallies[key].append(order_tally(values[is_above], oracle[is_above]))
        num_images += 1
    return Sampled(num_images, len(pairs), {key: summed(items) for key, items in tallies.items()})


def _score_stores(workspace: Workspace, source: Source) -> dict[tuple[str, str], ScoreStore]:
    """The scores of the run's ranker, then those of others over the same candidates, as far as they are complete."""
    stores = {}
    if source.ranker:
        stores["ranked", "ranked"] = ScoreStore.open(workspace.scores(source.key, source.ranker))
    for name in other_rankers(workspace, source):
        if len(stores) > MOST_RANKERS:
            break
        try:
            store = ScoreStore.open(workspace.scores(source.key, name))
        except UserError:
            continue  # not the run's own: its damage is not this report's
        if (store.counts() != NOT_COMPUTED).all():
            stores[f"{_loss(workspace, name)} ({name[:6]})", series_style(len(stores) + 1)] = store
    return stores


def _loss(workspace: Workspace, ranker: str) -> str:
    """The loss that a ranker was trained with here; `ranker` where that is not recorded."""
    try:
        text = (workspace.ranker(ranker) / "config.toml").read_text(encoding="utf-8")
        return str(tomllib.loads(text)["train"]["loss"])
    except (OSError, ValueError, KeyError, TypeError):
        return "ranker"
