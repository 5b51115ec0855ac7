"""Pictures that a ranker is not trained on: its states are looked at there, and the best is kept."""

import csv
import io
from collections.abc import Sequence
from typing import Final

import numpy as np
import torch

from crface import ranker
from crface.array_shapes import ScoredBoxes
from crface.detections import detections_of
from crface.evaluation.matching import match
from crface.evaluation.widerface import joined_mask
from crface.oracle import oracle_confidence
from crface.ranker import Gate, Ranker
from pipeline.blocks.asked import Candidates
from pipeline.config.sections import EvaluateConfig
from pipeline.dataset.index import Index
from pipeline.ground_truth.truth import rows_by_height
from pipeline.train.gating import SHARES, best_share, quality
from pipeline.train.looks import Look, Seen, write_look
from pipeline.workspace.place import Place, local_copy
from pipeline.workspace.writing import write_atomically

_CONFIG: Final = EvaluateConfig()  # the paper's values: what a user evaluates with decides no weights


class Validation:
    """The held-out pictures with every detector's candidates; keeps the best ranker in `folder`.

    `validation.csv` has the AP (`pipeline.train.gating.quality`) of every state that was looked at, with the best share
    of its refinement, as `step, ap`, and, as step 0, the detector's own. `looks/` has all that was seen, and
    `best.safetensors` is the ranker of the highest AP (the earlier of equals). All are continued by a resumed
    training, where what came after its checkpoint is found again.
    """

    def __init__(
        self,
        folder: Place,
        index: Index,
        rows: Sequence[int],
        stores: Sequence[Candidates],
        steps_done: int,
        shares: Sequence[float] = SHARES,
    ) -> None:
        self.best_file = folder / "best.safetensors"
        self.looks = folder / "looks"
        self._table = folder / "validation.csv"
        self._index, self._rows, self._stores, self._shares = index, rows, stores, shares
        self._truth = rows_by_height([index.row(row) for row in rows], index.split, sha256="")
        self._aps = {step: ap for step, ap in self._read().items() if step <= steps_done}

    def look(self, step: int, model: Ranker) -> float:
        """AP of a state, recorded; the state is kept if it is the best so far."""
        look = self._seen(model)
        write_look(self.looks, step, look)
        _, ap = best_share(look)
        if ap > max((old for at, old in self._aps.items() if 0 < at < step), default=-1.0):
            write_atomically(self.best_file, ranker.serialise(model))
        self._aps |= {0: quality(look, 0.0), step: ap}
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
        """The best ranker, on the CPU."""
        with local_copy(self.best_file) as file:
            return ranker.load(file)

    def _seen(self, model: Ranker) -> Look:
        shares = (0.0, *self._shares)
        by_detector = [self._by_share(store, model, shares) for store in self._stores]
        kept = {
            setting: joined_mask(setting, masks, self._truth.faces)
            for setting, masks in self._truth.kept.items()
        }
        return Look({share: tuple(found[share] for found in by_detector) for share in shares}, kept)

    def _by_share(self, store: Candidates, model: Ranker, shares: Sequence[float]) -> dict[float, Seen]:
        detections: dict[float, list[ScoredBoxes]] = {share: [] for share in shares}
        for row in self._rows:
            candidates = store.read(row)
            candidates = candidates[model.decides(candidates, _CONFIG.score_threshold)]
            predicted = torch.from_numpy(candidates[:, 4].copy())
            refined = torch.from_numpy(model.refine_all(self._index.read_image(row), candidates))
            for share in shares:
                found = detections_of(
                    torch.from_numpy(candidates[:, :5]),
                    Gate(share)(predicted.double(), refined.double()).float(),
                    score_threshold=_CONFIG.score_threshold,
                    nms_iou=_CONFIG.nms_iou,
                )
                detections[share].append(found.numpy())
        return {
            share: Seen(match(rows, self._truth.faces, _CONFIG.iou), self._is_right(rows))
            for share, rows in detections.items()
        }

    def _is_right(self, detections: Sequence[ScoredBoxes]) -> np.ndarray:
        overlaps = [
            oracle_confidence(
                torch.from_numpy(rows[:, :4].astype(np.float64)), torch.from_numpy(faces)
            ).numpy()
            for rows, faces in zip(detections, self._truth.faces, strict=True)
        ]
        return np.concatenate([np.zeros(0), *overlaps]) >= _CONFIG.iou

    def _read(self) -> dict[int, float]:
        if not self._table.is_file():
            return {}
        return {
            int(step): float(ap) for step, ap in list(csv.reader(io.StringIO(self._table.read_text())))[1:]
        }
