"""What one task of an ablation measures: AP, and what figures are drawn from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pipeline.blocks.arrays import UNREADABLE
from pipeline.blocks.complete import open_complete
from pipeline.config.sections import EvaluateConfig
from pipeline.evaluate.label_source import LabelSource
from pipeline.ground_truth.truth import SETTINGS
from pipeline.results.ablation_figures import AblationFigure
from pipeline.workspace.layout import CandidateKey, Workspace

if TYPE_CHECKING:
    from crface.evaluation import Evaluation
    from crface.evaluation.order import OrderTally
    from crface.ranker import Ranker


@dataclass(frozen=True, slots=True, eq=False)
class RankerMeasure:
    """One detector's candidates under one confidence."""

    evaluation: "Evaluation"
    tally: "OrderTally"

    def figure(self, detector: str, confidence: str) -> AblationFigure:
        """What is stored of it for figures."""
        curves = {setting: self.evaluation.curves[setting] for setting in SETTINGS}
        return AblationFigure(
            detector=detector,
            confidence=confidence,
            kendall=self.tally.mean_kendall,
            share=self.tally.share,
            overlap=self.tally.mean_overlap,
            **{f"precision_{setting}": curve.precision for setting, curve in curves.items()},
            **{f"recall_{setting}": curve.recall for setting, curve in curves.items()},
        )


Found = Mapping[tuple[CandidateKey, str], RankerMeasure]
"""By candidates and confidence."""


def measured(
    workspace: Workspace,
    keys: Sequence[CandidateKey],
    source: LabelSource,
    config: EvaluateConfig,
    model: "Ranker | None",
) -> Found:
    """Each detector's candidates, ranked by the model, or, without one, by predicted and by oracle confidence.

    AP is the same as ranking and evaluating give, without storing what is only needed once.
    """
    import torch

    from crface.evaluation import widerface_ap
    from crface.evaluation.order import order_tally, summed
    from crface.oracle import oracle_confidence
    from pipeline.evaluate.detections import ORACLE_ALL, PREDICTED, image_detections, stored_detections
    from pipeline.evaluate.labels import open_labels

    labels = open_labels(source)
    stores = {key: open_complete(workspace, labels.index, key) for key in keys}
    is_unreadable = np.any([store.counts() == UNREADABLE for store in stores.values()], axis=0)
    images = [(row, image) for row, image in labels.image_of_row.items() if not is_unreadable[row]]
    detections: dict[tuple[CandidateKey, str], list[np.ndarray]] = {}
    tallies: dict[tuple[CandidateKey, str], list[OrderTally]] = {}
    for row, image in images:
        pixels = None if model is None else labels.index.read_image(row)
        faces = labels.truth.faces[image]
        for key, store in stores.items():
            candidates = store.read(row)
            oracle = oracle_confidence(
                torch.from_numpy(candidates[:, :4].copy()), torch.from_numpy(faces.astype(np.float32))
            ).numpy()
            if model is None or pixels is None:
                both = image_detections(candidates, None, faces, config)
                here = {
                    "predicted": (both[PREDICTED], candidates[:, 4]),
                    "oracle": (both[ORACLE_ALL], oracle),
                }
            else:
                refined = model.refine(pixels, candidates, above=config.score_threshold)
                here = {"ranked": (stored_detections(candidates, refined, config), refined)}
            is_above = candidates[:, 4] > config.score_threshold
            for confidence, (rows, values) in here.items():
                detections.setdefault((key, confidence), []).append(rows)
                tally = order_tally(values[is_above], oracle[is_above])
                tallies.setdefault((key, confidence), []).append(tally)
    faces_of_images = [labels.truth.faces[image] for _, image in images]
    kept = {setting: [labels.truth.kept[setting][image] for _, image in images] for setting in SETTINGS}
    return {
        what: RankerMeasure(widerface_ap(rows, faces_of_images, kept, config.iou), summed(tallies[what]))
        for what, rows in detections.items()
    }
