"""What an image costs in time: detector, fusion, NMS and ranker apart, in one process, one image at a time."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch

import detectors
from crface import ranker as rankers
from crface.array_shapes import RgbImage, ScoredBoxes
from detectors.protocols import View
from pipeline.bench.clock import Clock, LoadedRanker
from pipeline.cache.loading import load_detector
from pipeline.cache.protocols import protocol_for
from pipeline.config.sections import CacheConfig, EvaluateConfig
from pipeline.dataset.index import Index
from pipeline.errors import UsageError, UserError
from pipeline.rank.plan import identify_ranker
from pipeline.results.timings import TimingRow
from pipeline.workspace.fingerprint import fingerprint
from pipeline.workspace.place import Place, local_copy

WARM_UP: Final = 2
"""Default number of images that run untimed, for each detector and protocol."""

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Timed:
    """What is timed, on which images."""

    index: Index
    protocols: Mapping[str, Mapping[str, Place | None]]
    """For each detector, as `detectors.create` takes it: its protocols, and the ranker timed with each, if any."""
    num_images: int
    """Number of images at most, spread evenly over the split."""
    warm_up: int = WARM_UP
    """Number of images that run untimed, for each detector and protocol."""


def time_images(
    timed: Timed,
    cache: CacheConfig,
    evaluate: EvaluateConfig,
    progress: Progress = lambda done, total: None,
) -> dict[tuple[str, str], list[TimingRow]]:
    """The rows of the table, by detector and protocol as they were asked for.

    An image is decoded beforehand, and not timed. *detector* is all from pixels to candidates in pixels of the image,
    over all views of the protocol: resizing, the way to the device and back, the forward; a view that several
    protocols have is timed once for all. *fusion* is box voting, or what the protocol says. *nms* and its threshold are
    the evaluation's. Each part begins and ends with an idle device. The first `warm_up` images are gone through once
    before.

    Raises UsageError for an unknown detector or protocol, UserError when the split has no image that can be
    read, or a ranker cannot be.
    """
    rows = timed.index.ok_rows
    if not rows:
        raise UserError(
            f"the split {timed.index.split} has no image that can be read: there is nothing to time"
        )
    step = max(1, len(rows) // timed.num_images)
    chosen = rows[::step][: timed.num_images]
    device = "cuda" if torch.cuda.is_available() else "cpu"
    total, done = len(chosen) * sum(map(len, timed.protocols.values())), 0
    table = {}
    for spec, protocols in timed.protocols.items():
        try:
            identity = detectors.identify(spec)
            detector = load_detector(spec, device, cache.precision)
            clocks = {
                name: Clock(
                    detector,
                    protocol_for(spec.partition("@")[0], cache.model_copy(update={"protocol": name})),
                    _ranker(ranker, device),
                    evaluate,
                    device,
                )
                for name, ranker in protocols.items()
            }
        except ValueError as error:
            raise UsageError(str(error)) from error
        for row in chosen[: timed.warm_up]:
            _run(clocks.values(), timed.index.read_image(row))
        for clock in clocks.values():
            clock.forget()
        for row in chosen:
            progress(done, total)
            _run(clocks.values(), timed.index.read_image(row))
            done += len(clocks)
        for name, clock in clocks.items():
            table[spec, name] = _rows(clock, timed.index.split, identity, device)
    progress(done, total)
    return table


def _run(clocks: Iterable[Clock], image: RgbImage) -> None:
    """Time an image under several protocols, each of their views once."""
    views: dict[View, tuple[ScoredBoxes, float]] = {}
    for clock in clocks:
        clock.run(image, views)


def _rows(clock: Clock, split: str, identity: Mapping[str, Any], device: str) -> list[TimingRow]:
    return [
        TimingRow(
            split=split,
            detector=identity["detector"],
            weights=identity["weights"],
            protocol=clock.protocol.name,
            input_size=clock.protocol.words,
            ranker=clock.ranker.name if clock.ranker and part in ("ranker", "all") else "",
            part=part,
            images=len(clock.num_candidates),
            median_ms=1000 * float(np.median(seconds)),
            p95_ms=1000 * float(np.quantile(seconds, 0.95)),
            median_candidates=float(np.median(clock.num_candidates)),
            device=torch.cuda.get_device_name() if device == "cuda" else "cpu",
            threads=torch.get_num_threads(),
            torch=torch.__version__,
        )
        for part, seconds in clock.parts().items()
    ]


def _ranker(path: Place | None, device: str) -> LoadedRanker | None:
    if path is None:
        return None
    name = fingerprint(identify_ranker(path))
    try:
        with local_copy(path) as file:
            return LoadedRanker(name, rankers.load(file).to(device))
    except ValueError as error:
        raise UserError(str(error)) from error
