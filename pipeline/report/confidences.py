"""Confidences before and after: how they are distributed, and how far they keep the oracle's order (Figure 4).

Other rankers whose refined confidences the workspace has for the same candidates are drawn too, by their loss: so a
ranker of each loss, trained and applied one after the other, gives the paper's figure.
"""

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from jaxtyping import Float

from crface.evaluation.calibration import rank_correlation
from crface.oracle import oracle_confidence
from pipeline.blocks.arrays import NOT_COMPUTED
from pipeline.blocks.store import CandidateStore, ImageUnreadable, ScoreStore
from pipeline.config.sections import EvaluateConfig
from pipeline.dataset.index import Index
from pipeline.errors import UserError
from pipeline.evaluate.sources import Source
from pipeline.ground_truth.truth import GroundTruth, overlap
from pipeline.report.charts import Chart, Figure, Legend, Series, line_chart, stem
from pipeline.report.other_rankers import other_rankers
from pipeline.report.palette import series_style
from pipeline.workspace.layout import Workspace

MOST_IMAGES: Final = 200
"""Images that the figure is made from, evenly spaced in the split: candidates of all images may be gigabytes."""

MOST_RANKERS: Final = 6
"""Other rankers that are drawn beside the run's own."""

_BINS, _PLACES = 40, 51
_LOWEST = -4.0  # of the axis of shares, a logarithm: fewer than one box in ten thousand is drawn as none
_SHARES = [(-4.0, "0.01 %"), (-3.0, "0.1 %"), (-2.0, "1 %"), (-1.0, "10 %"), (0.0, "100 %")]
_Values = list[Float[np.ndarray, " _"]]


@dataclass(frozen=True, slots=True, eq=False)
class Sampled:
    """Confidences of each sampled image's candidates above the threshold."""

    num_images: int
    num_of: int
    """Images with ground truth, of which `num_images` were looked at."""
    oracle: _Values
    confidences: dict[tuple[str, str], _Values]
    """By name and style."""


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
    if not any(len(values) for values in sampled.oracle):
        return None
    detector = source.key.detector
    part = (
        f"{sampled.num_images} of {sampled.num_of} images"
        if sampled.num_images < sampled.num_of
        else "all images"
    )
    return Figure(
        stem("confidences", number, detector),
        f"Confidences of {detector}",
        [_distribution(sampled), _order(sampled)],
        f"Candidates above {config.score_threshold:g} of {part}. Left: the share of boxes at each confidence. Right: "
        "each image's boxes in the order of a confidence, best first, and the mean overlap with a face of those taken "
        "so far: the nearer to the oracle's line, the better its order is kept; with Kendall's tau.",
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
    oracle: _Values = []
    confidences: dict[tuple[str, str], _Values] = {("predicted", "predicted"): []}
    confidences |= {key: [] for key in scores}
    for row, image in chosen:
        try:
            boxes = candidates.read(row)
            refined = {key: store.read(row) for key, store in scores.items()}
        except ImageUnreadable:
            continue
        is_above = boxes[:, 4] > config.score_threshold
        faces = torch.from_numpy(truth.faces[image].astype(np.float32))
        oracle.append(oracle_confidence(torch.from_numpy(boxes[is_above, :4].copy()), faces).numpy())
        confidences["predicted", "predicted"].append(boxes[is_above, 4])
        for key, values in refined.items():
            confidences[key].append(values[is_above])
    return Sampled(len(oracle), len(pairs), oracle, confidences)


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


def _lines(sampled: Sampled) -> list[tuple[tuple[str, str], _Values]]:
    return [*sampled.confidences.items(), (("oracle", "oracle"), sampled.oracle)]


def _distribution(sampled: Sampled) -> tuple[Chart, Legend]:
    edges = np.linspace(0, 1, _BINS + 1)
    middles = (edges[1:] + edges[:-1]) / 2
    series, legend = [], []
    for (name, style), values in _lines(sampled):
        joined = np.clip(np.concatenate(values), 0, 1)
        share = np.histogram(joined, edges)[0] / max(1, len(joined))
        with np.errstate(divide="ignore"):
            series.append(Series(name, style, middles, np.maximum(np.log10(share), _LOWEST)))
        legend.append((style, name, ""))
    chart = line_chart(
        "Distribution", "confidence", "share of boxes", series, (0.0, 1.0), (_LOWEST, 0.0), y_ticks=_SHARES
    )
    return chart, legend


def _order(sampled: Sampled) -> tuple[Chart, Legend]:
    x = np.linspace(0, 1, _PLACES)
    series, legend = [], []
    for (name, style), values in _lines(sampled):
        series.append(Series(name, style, x, kept_order(values, sampled.oracle, x)))
        tau = rank_correlation(values, sampled.oracle).mean_kendall
        legend.append((style, name, "" if name == "oracle" or tau != tau else f"tau {tau:.3f}"))
    top = float(max(line.y[np.isfinite(line.y)].max(initial=0.0) for line in series))
    return (
        line_chart(
            "Order kept", "share of boxes taken", "mean overlap of these", series, (0.0, 1.0), (0.0, top)
        ),
        legend,
    )


def kept_order(
    confidence: Sequence[Float[np.ndarray, " _"]],
    oracle: Sequence[Float[np.ndarray, " _"]],
    shares: Float[np.ndarray, " share"],
) -> Float[np.ndarray, " share"]:
    """Mean oracle confidence of the best boxes of each image up to each share of them, mean over images with boxes."""
    curves = []
    for own, targets in zip(confidence, oracle, strict=True):
        if not len(own):
            continue
        ordered = targets[np.argsort(-own, kind="stable")]
        means = np.cumsum(ordered) / np.arange(1, len(ordered) + 1)
        curves.append(np.interp(shares * len(ordered), np.arange(1, len(ordered) + 1), means))
    return np.mean(curves, axis=0) if curves else np.full(len(shares), np.nan)
