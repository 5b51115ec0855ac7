"""The times of an image's parts under one protocol: detector, fusion, NMS and ranker."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import torch

import detectors
from crface.array_shapes import RgbImage, ScoredBoxes
from crface.detections import detections_of
from detectors.protocols import DetectionProtocol, View, fuse, view_candidates
from pipeline.config.sections import EvaluateConfig
from pipeline.results.timings import Part

if TYPE_CHECKING:
    from crface.ranker import Ranker

Made = TypeVar("Made")


@dataclass(frozen=True, slots=True)
class LoadedRanker:
    """A ranker on the device that it is timed on."""

    name: str
    """Its fingerprint."""
    model: "Ranker"


class Clock:
    """Times each part of image after image under one protocol."""

    def __init__(
        self,
        detector: detectors.Detector,
        protocol: DetectionProtocol,
        ranker: "LoadedRanker | None",
        evaluate: EvaluateConfig,
        device: str,
    ) -> None:
        self.protocol = protocol
        self.ranker = ranker
        self.num_candidates: list[int] = []
        self._detector = detector
        self._evaluate = evaluate
        self._is_cuda = device == "cuda"
        self._seconds: dict[Part, list[float]] = {}

    def forget(self) -> None:
        """Discard all times so far."""
        self.num_candidates.clear()
        self._seconds.clear()

    def run(self, image: RgbImage, views: dict[View, tuple[ScoredBoxes, float]]) -> None:
        """Time all parts on one image; `views`, which are added to, are those of this image that are timed already."""
        for view in self.protocol.views:
            if view not in views:
                views[view] = self._timed(partial(self._detected, view, image))
        found = [views[view][0] for view in self.protocol.views]
        self._add("detector", sum(views[view][1] for view in self.protocol.views))
        candidates, fusion = found[0], self.protocol.fusion
        if fusion is not None:
            candidates, seconds = self._timed(lambda: fuse(found, fusion))
            self._add("fusion", seconds)
        self.num_candidates.append(len(candidates))
        self._add("nms", self._timed(lambda: self._suppress(candidates))[1])
        if self.ranker is not None:
            refine = partial(
                self.ranker.model.refine, image, candidates, above=self._evaluate.score_threshold
            )
            self._add("ranker", self._timed(refine)[1])

    def parts(self) -> dict[Part, Sequence[float]]:
        """The seconds of each image, for each part and for their sums."""
        before = [times for part, times in self._seconds.items() if part != "ranker"]
        sums: dict[Part, Sequence[float]] = {
            "all but the ranker": [sum(image) for image in zip(*before, strict=True)]
        }
        if self.ranker is not None:
            sums["all"] = [sum(image) for image in zip(*self._seconds.values(), strict=True)]
        return {**self._seconds, **sums}

    def _detected(self, view: View, image: RgbImage) -> ScoredBoxes:
        return view_candidates(self._detector, view, [image])[0]

    def _add(self, part: Part, seconds: float) -> None:
        self._seconds.setdefault(part, []).append(seconds)

    def _timed(self, work: Callable[[], Made]) -> tuple[Made, float]:
        self._wait()
        started = time.perf_counter()
        made = work()
        self._wait()
        return made, time.perf_counter() - started

    def _wait(self) -> None:
        if self._is_cuda:
            torch.cuda.synchronize()

    def _suppress(self, candidates: ScoredBoxes) -> None:
        detections_of(
            torch.from_numpy(candidates),
            score_threshold=self._evaluate.score_threshold,
            nms_iou=self._evaluate.nms_iou,
        )
