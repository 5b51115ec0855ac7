"""AP on pictures that a ranker is not trained on: which of its states is kept, and how much of its residual."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from jaxtyping import Float32

from crface import ranker
from crface.array_shapes import ScoredBoxes
from crface.detections import detections_of
from crface.evaluation import widerface_ap
from crface.ranker import Ranker
from pipeline.blocks.store import CandidateStore
from pipeline.config.sections import EvaluateConfig
from pipeline.dataset.index import Index
from pipeline.workspace.place import Place, local_copy
from pipeline.workspace.writing import write_atomically

_HELD_OUT = 3  # apart from the numbers that `crface.training.examples` draws with
_CONFIG: Final = EvaluateConfig()  # the paper's values: what a user evaluates with decides no weights


def held_out(rows: Sequence[int], share: float, seed: int) -> tuple[list[int], list[int]]:
    """Rows to train on and rows to validate on; the same again for the same arguments.

    None are held out for a share of 0, at least one otherwise, and at least one is left to train on.
    """
    count = 0 if share == 0 else min(max(1, round(share * len(rows))), len(rows) - 1)
    chosen = set(np.random.default_rng([seed, _HELD_OUT]).permutation(len(rows))[:count].tolist())
    return (
        [row for place, row in enumerate(rows) if place not in chosen],
        [row for place, row in enumerate(rows) if place in chosen],
    )


class Validation:
    """The held-out pictures with every detector's candidates; keeps the best ranker in `folder`.

    `validation.csv` has the AP of every state that was looked at (`step, ap`) and, as step 0, the detector's own;
    `best.safetensors` is the ranker of the highest (the earlier of equals). Both are continued by a resumed
    training, where what came after its checkpoint is found again.
    """

    def __init__(
        self,
        folder: Place,
        index: Index,
        rows: Sequence[int],
        stores: Sequence[CandidateStore],
        steps_done: int,
    ) -> None:
        self.best_file = folder / "best.safetensors"
        self._table = folder / "validation.csv"
        self._index, self._rows, self._stores = index, rows, stores
        self._aps = {step: ap for step, ap in self._read().items() if step <= steps_done}
        if 0 not in self._aps:
            self._aps = {0: self.ap(None)}

    def look(self, step: int, model: Ranker) -> float:
        """AP of a state, recorded; the state is kept if it is the best so far."""
        ap = self.ap(model)
        if ap > max((old for at, old in self._aps.items() if 0 < at < step), default=-1.0):
            write_atomically(self.best_file, ranker.serialise(model))
        self._aps[step] = ap
        text = io.StringIO()
        csv.writer(text).writerows(
            [["step", "ap"], *([at, repr(ap)] for at, ap in sorted(self._aps.items()))]
        )
        write_atomically(self._table, text.getvalue().encode())
        return ap

    def is_over(self, patience: int) -> bool:
        """Whether the last `patience` looks all missed the best AP before them; never for a patience of 0."""
        aps = [ap for step, ap in sorted(self._aps.items()) if step > 0]
        return 0 < patience < len(aps) and max(aps[-patience:]) <= max(aps[:-patience])

    def best(self) -> Ranker:
        """The best ranker, on the CPU, tuned by its AP on the held-out pictures (`Ranker.tune`)."""
        with local_copy(self.best_file) as file:
            model = ranker.load(file)
        model.tune(lambda: self.ap(model))
        return model

    def ap(self, model: Ranker | None) -> float:
        """Official AP (0..1) over all labelled faces at IoU 0.5, the mean over detectors; None: the detector's.

        The AP is NaN, and then 0 here, if no held-out picture has a face.
        """
        aps = []
        for store in self._stores:
            pictures = [self._picture(row, store, model) for row in self._rows]
            faces = [picture.faces for picture in pictures]
            masks = {"all": [np.ones(len(boxes), bool) for boxes in faces]}
            found = widerface_ap([picture.detections for picture in pictures], faces, masks, _CONFIG.iou)
            aps.append(found["all"])
        return float(np.nan_to_num(np.mean(aps)))

    def _picture(self, row: int, store: CandidateStore, model: Ranker | None) -> "_Picture":
        labels = self._index.row(row)
        candidates = store.read(row)
        refined = None
        if model is not None:
            # those behind the last that the ranker hears and behind the threshold cannot become detections
            num_above = int((candidates[:, 4] > _CONFIG.score_threshold).sum())
            candidates = candidates[: max(model.num_candidates, num_above)]
            refined = torch.from_numpy(model.refine(self._index.read_image(row), candidates))
        detections = detections_of(
            torch.from_numpy(candidates),
            refined,
            score_threshold=_CONFIG.score_threshold,
            nms_iou=_CONFIG.nms_iou,
        )
        return _Picture(detections.numpy(), labels.faces[labels.is_valid].astype(np.float32))

    def _read(self) -> dict[int, float]:
        if not self._table.is_file():
            return {}
        return {
            int(step): float(ap) for step, ap in list(csv.reader(io.StringIO(self._table.read_text())))[1:]
        }


@dataclass(frozen=True, slots=True)
class _Picture:
    detections: ScoredBoxes
    faces: Float32[np.ndarray, "_ 4"]
