"""What each ranker costs beside the small one: parameters, bytes, CPU time of one thread and memory for one picture."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
import torch
from jaxtyping import Float32

from crface import ranker
from crface.array_shapes import RgbImage
from crface.ranker.interface import Ranker
from pipeline.bench.memory import megabytes, peak_bytes
from pipeline.config.sections import EvaluateConfig
from pipeline.train.read_ahead import no_helping_threads

_REFERENCE: Final = "small"
_PAPERS: Final = ("large", "small", "small-told")
_NUM_HEARD: Final = 300
"""Candidates in a training example of the other rankers, which take any number (the configuration `photos`)."""
_NUM_FACES: Final = 50
_SHARE_ABOVE: Final = 0.06
"""Of the candidates, those above the evaluation's threshold; on photographs 40 to 300 of a detector's 5000, seldom a
thousand."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RankerCost:
    """What one ranker costs."""

    name: str
    parameters: int
    trained: int
    """Parameters that a training changes."""
    file_bytes: int
    median_ms: float
    """CPU milliseconds of `refine`, from the picture's pixels to the refined confidences of all that can become
    detections."""
    times_small: float
    """The median over the rounds of its time by the small ranker's in the same round."""
    median_all_ms: float
    """The same for the refined confidences of all candidates."""
    peak_bytes: int | None
    """Peak of the additional memory that a process takes while it refines for the first time; None except on Linux."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RankersBench:
    """All rankers on the same picture, one after the other in every round."""

    width: int
    height: int
    num_candidates: int
    num_above: int
    """Of the candidates, those that can become detections."""
    rounds: int
    costs: tuple[RankerCost, ...]


def bench_rankers(image_side_px: int, num_candidates: int, rounds: int) -> RankersBench:
    """The cost of refining a made-up picture of the rankers' own size, with as many candidates as they take.

    Weights are random, which costs as much as trained ones do. Half of the candidates lie on some faces, the others
    anywhere; a few hundred in 5000 are above the evaluation's threshold. Each ranker refines once untimed before the
    rounds.
    """
    above = EvaluateConfig().score_threshold
    image, candidates = _picture(image_side_px, num_candidates)
    models = {name: _created(name, num_candidates, image_side_px) for name in ranker.names()}
    peaks = dict(
        zip(
            models,
            peak_bytes(_prepared, [(name, image_side_px, num_candidates) for name in models]),
            strict=True,
        )
    )
    ways = [(name, least) for name in models for least in (above, -1.0)]
    seconds: dict[tuple[str, float], list[float]] = {way: [] for way in ways}
    with _one_thread():
        for model in models.values():
            model.refine(image, candidates)
        for _ in range(rounds):
            for name, least in ways:
                started = time.process_time()
                models[name].refine(image, candidates, above=least)
                seconds[name, least].append(time.process_time() - started)
    return RankersBench(
        width=image.shape[1],
        height=image.shape[0],
        num_candidates=num_candidates,
        num_above=int((candidates[:, 4] > above).sum()),
        rounds=rounds,
        costs=tuple(
            RankerCost(
                name=name,
                parameters=sum(p.numel() for p in model.parameters()),
                trained=sum(p.numel() for p in model.parameters() if p.requires_grad),
                file_bytes=len(ranker.serialise(model)),
                median_ms=1000 * float(np.median(seconds[name, above])),
                times_small=_times(seconds[name, above], seconds[_REFERENCE, above]),
                median_all_ms=1000 * float(np.median(seconds[name, -1.0])),
                peak_bytes=peaks[name],
            )
            for name, model in models.items()
        ),
    )


def as_lines(bench: RankersBench) -> list[str]:
    """The benchmark as a table of 80 columns."""
    return [
        f"one picture of {bench.width} x {bench.height} px, {bench.num_candidates} candidates;",
        f"refined: the {bench.num_above} that can become detections, or all; one thread, median of {bench.rounds}",
        f"{'ranker':15}{'parameters':>11}{'trained':>12}{'file MB':>8}{'CPU ms':>8}{'x small':>8}{'all, ms':>8}"
        f"{'memory MB':>10}",
        *(
            f"{cost.name:15}{cost.parameters:11,}{cost.trained:12,}{cost.file_bytes / 1e6:8.1f}"
            f"{cost.median_ms:8,.0f}{cost.times_small:8.2f}{cost.median_all_ms:8,.0f}{megabytes(cost.peak_bytes):>10}"
            for cost in bench.costs
        ),
    ]


def as_json(bench: RankersBench) -> dict[str, Any]:
    """The benchmark as JSON values."""
    return asdict(bench)


def _picture(long_side_px: int, count: int) -> tuple[RgbImage, Float32[np.ndarray, "candidate 5"]]:
    """A picture, and boxes `x1 y1 x2 y2 confidence` in it, highest confidence first, half of them crowded on faces."""
    width, height = long_side_px, max(1, long_side_px * 3 // 4)
    random = np.random.default_rng(0)
    image = random.integers(0, 255, (height, width, 3), dtype=np.uint8)
    side = min(width, height) / 20
    faces = random.uniform(0, 1, (_NUM_FACES, 2)) * [width - side, height - side]
    on_faces = faces[random.integers(_NUM_FACES, size=count // 2)]
    on_faces = on_faces + random.normal(0, side / 6, on_faces.shape)
    anywhere = random.uniform(0, 1, (count - count // 2, 2)) * [width - side, height - side]
    corners = random.permutation(np.concatenate([on_faces, anywhere]))
    sides = side * np.exp(random.normal(0, 0.2, (count, 2)))
    threshold = EvaluateConfig().score_threshold
    num_above = max(1, round(_SHARE_ABOVE * count))
    confidences = np.concatenate(
        [random.uniform(threshold, 0.99, num_above), random.uniform(0, threshold, count - num_above)]
    )
    confidences = np.sort(confidences)[::-1, None]
    return image, np.concatenate([corners, corners + sides, confidences], axis=1).astype(np.float32)


def _times(seconds: Sequence[float], reference: Sequence[float]) -> float:
    return float(np.median(np.array(seconds) / np.maximum(reference, 1e-9)))


def _created(name: str, num_candidates: int, image_side_px: int) -> Ranker:
    count = num_candidates if name in _PAPERS else min(num_candidates, _NUM_HEARD)
    return ranker.create(name, count, image_side_px).eval()


def _prepared(name: str, image_side_px: int, num_candidates: int) -> Callable[[], object]:
    torch.set_num_threads(1)
    image, candidates = _picture(image_side_px, num_candidates)
    model = _created(name, num_candidates, image_side_px)
    return lambda: model.refine(image, candidates, above=EvaluateConfig().score_threshold)


@contextmanager
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with no_helping_threads():
            yield
    finally:
        torch.set_num_threads(before)
