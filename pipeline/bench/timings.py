"""What an image costs in time: detector, fusion, NMS and ranker apart, in one process, one image at a time."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeVar

import numpy as np
import torch
from jaxtyping import UInt8

import detectors
from crface import ranker as rankers
from crface.array_shapes import ScoredBoxes
from crface.detections import detections_of
from detectors.protocols import DetectionProtocol, fuse, view_candidates
from pipeline.cache.loading import load_detector
from pipeline.cache.protocols import protocol_for
from pipeline.config.sections import CacheConfig, EvaluateConfig
from pipeline.dataset.index import Index
from pipeline.errors import UsageError, UserError
from pipeline.rank.plan import identify_ranker
from pipeline.results.timings import Part, TimingRow
from pipeline.workspace.fingerprint import fingerprint
from pipeline.workspace.place import Place, local_copy

if TYPE_CHECKING:
    from crface.ranker import Ranker

WARM_UP: Final = 2
"""Default number of images that run untimed, for each detector and protocol."""

Progress = Callable[[int, int], None]
Made = TypeVar("Made")


@dataclass(frozen=True, slots=True, kw_only=True)
class Timed:
    """What is timed, on which images."""

    index: Index
    detectors: tuple[str, ...]
    """As `detectors.create` takes them."""
    protocols: tuple[str, ...]
    ranker: Place | None
    """None: no ranker is timed."""
    num_images: int
    """Number of images at most, spread evenly over the split."""
    warm_up: int = WARM_UP
    """Number of images that run untimed, for each detector and protocol."""


def time_images(
    timed: Timed,
    cache: CacheConfig,
    evaluate: EvaluateConfig,
    progress: Progress = lambda done, total: None,
) -> list[TimingRow]:
    """The rows of the table, for each detector under each protocol.

    Images are decoded beforehand, each anew for every pass, and not timed. *detector* is all from pixels to candidates
    in pixels of the image, over all views of the protocol: resizing, the way to the device and back, the forward.
    *fusion* is box voting, or what the protocol says. *nms* and its threshold are the evaluation's. Each part begins
    and ends with an idle device. The first `warm_up` images are gone through once before.

    Raises UsageError for an unknown detector or protocol, UserError when the split has no image that can be
    read, or the ranker cannot be.
    """
    rows = timed.index.ok_rows
    if not rows:
        raise UserError(
            f"the split {timed.index.split} has no image that can be read: there is nothing to time"
        )
    step = max(1, len(rows) // timed.num_images)
    chosen = rows[::step][: timed.num_images]
    device = "cuda" if torch.cuda.is_available() else "cpu"
    ranker, ranker_name = _ranker(timed.ranker, device)
    work = [(detector, protocol) for detector in timed.detectors for protocol in timed.protocols]
    table = []
    for number, (spec, protocol_name) in enumerate(work):
        try:
            identity = detectors.identify(spec)
            protocol = protocol_for(
                spec.partition("@")[0], cache.model_copy(update={"protocol": protocol_name})
            )
            detector = load_detector(spec, device, cache.precision)
        except ValueError as error:
            raise UsageError(str(error)) from error
        clock = _Clock(detector, protocol, ranker, evaluate, device)
        for row in chosen[: timed.warm_up]:
            clock.run(timed.index.read_image(row))
        clock.forget()
        for done, row in enumerate(chosen):
            progress(number * len(chosen) + done, len(work) * len(chosen))
            clock.run(timed.index.read_image(row))
        table += [
            TimingRow(
                split=timed.index.split,
                detector=identity["detector"],
                weights=identity["weights"],
                protocol=protocol.name,
                input_size=protocol.words,
                ranker=ranker_name if part in ("ranker", "all") else "",
                part=part,
                images=len(chosen),
                median_ms=1000 * float(np.median(seconds)),
                p95_ms=1000 * float(np.quantile(seconds, 0.95)),
                median_candidates=float(np.median(clock.num_candidates)),
                device=torch.cuda.get_device_name() if device == "cuda" else "cpu",
                threads=torch.get_num_threads(),
                torch=torch.__version__,
            )
            for part, seconds in clock.parts().items()
        ]
    progress(len(work) * len(chosen), len(work) * len(chosen))
    return table


class _Clock:
    """Times each part of image after image."""

    def __init__(
        self,
        detector: detectors.Detector,
        protocol: DetectionProtocol,
        ranker: "Ranker | None",
        evaluate: EvaluateConfig,
        device: str,
    ) -> None:
        self._detector = detector
        self._protocol = protocol
        self._ranker = ranker
        self._evaluate = evaluate
        self._is_cuda = device == "cuda"
        self.num_candidates: list[int] = []
        self._seconds: dict[Part, list[float]] = {}

    def forget(self) -> None:
        """Discard all times so far."""
        self.num_candidates.clear()
        self._seconds.clear()

    def run(self, image: UInt8[np.ndarray, "_ _ 3"]) -> None:
        """Time all parts on one image."""
        views = self._timed(
            "detector",
            lambda: [view_candidates(self._detector, view, [image])[0] for view in self._protocol.views],
        )
        found, fusion = views[0], self._protocol.fusion
        if fusion is not None:
            found = self._timed("fusion", lambda: fuse(views, fusion))
        self.num_candidates.append(len(found))
        self._timed("nms", lambda: self._suppress(found))
        model = self._ranker
        if model is not None:
            self._timed("ranker", lambda: model.refine(image, found))

    def parts(self) -> dict[Part, Sequence[float]]:
        """The seconds of each image, for each part and for their sums."""
        before = [times for part, times in self._seconds.items() if part != "ranker"]
        sums: dict[Part, Sequence[float]] = {
            "all but the ranker": [sum(image) for image in zip(*before, strict=True)]
        }
        if self._ranker is not None:
            sums["all"] = [sum(image) for image in zip(*self._seconds.values(), strict=True)]
        return {**self._seconds, **sums}

    def _timed(self, part: Part, work: Callable[[], Made]) -> Made:
        self._wait()
        started = time.perf_counter()
        made = work()
        self._wait()
        self._seconds.setdefault(part, []).append(time.perf_counter() - started)
        return made

    def _wait(self) -> None:
        if self._is_cuda:
            torch.cuda.synchronize()

    def _suppress(self, candidates: ScoredBoxes) -> None:
        detections_of(
            torch.from_numpy(candidates),
            score_threshold=self._evaluate.score_threshold,
            nms_iou=self._evaluate.nms_iou,
        )


def _ranker(path: Place | None, device: str) -> "tuple[Ranker | None, str]":
    if path is None:
        return None, ""
    name = fingerprint(identify_ranker(path))
    try:
        with local_copy(path) as file:
            return rankers.load(file).to(device), name
    except ValueError as error:
        raise UserError(str(error)) from error
