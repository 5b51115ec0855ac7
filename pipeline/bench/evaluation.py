"""How fast AP is computed from arrays and from text files, compared with the slow, literal form of the protocol."""

import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from jaxtyping import Float64

from crface.evaluation import widerface_ap
from crface.evaluation.literal import literal_widerface_ap
from pipeline.evaluate.score import match_results, score_results
from pipeline.formats.widerface_text import write_results
from pipeline.ground_truth.truth import SETTINGS, GroundTruth, find_ground_truth

VAL_IMAGES: Final = 3226
_FACES_AN_IMAGE: Final = 39_708 / VAL_IMAGES
_DETECTIONS_AN_IMAGE: Final = 116_616 / VAL_IMAGES
_REPEATS: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """How long one way took."""

    seconds: float
    """By the clock; the best of three, but for the slow form, which runs once."""
    cpu_seconds: float
    """Of this process, in the same run: what matters on a machine that others use too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationBench:
    """One benchmark of the evaluation, all in one run on one machine."""

    images: int
    faces: int
    detections: int
    ground_truth: str
    """Where it was read; "generated" where it was made up."""
    arrays: Timing
    """All three settings, official and exact, from arrays."""
    text: Timing
    """The same from text files, reading and checking included, and reading the ground truth if one was given."""
    literal: Timing
    """All three settings, official only, from arrays."""
    largest_difference: float
    """Between the official APs of the three ways; text has three decimals, and is compared with arrays of such."""

    @property
    def arrays_ratio(self) -> float:
        """How many times faster than the literal form, from arrays, by CPU time."""
        return self.literal.cpu_seconds / self.arrays.cpu_seconds

    @property
    def text_ratio(self) -> float:
        """How many times faster from text than the literal form is from arrays, by CPU time."""
        return self.literal.cpu_seconds / self.text.cpu_seconds


def bench_evaluation(ground_truth: Path | None = None, num_images: int = VAL_IMAGES) -> EvaluationBench:
    """The benchmark, on made-up faces like those of WIDER FACE's validation set where no ground truth is given.

    The detections are always made up: about 36 per image, covering most faces. `num_images` is for made-up faces
    only.

    Raises UserError for a ground truth that is not there or damaged.
    """
    generator = np.random.default_rng(0)
    truth = _made_up(generator, num_images) if ground_truth is None else find_ground_truth(ground_truth)
    rows = [_detections(generator, faces) for faces in truth.faces]
    corners = [
        np.concatenate([image[:, :2], image[:, :2] + image[:, 2:4], image[:, 4:]], axis=1) for image in rows
    ]
    arrays, from_arrays = _timed(lambda: dict(widerface_ap(corners, truth.faces, truth.kept)), _REPEATS)
    with tempfile.TemporaryDirectory(prefix="crface-bench-") as folder:
        results = Path(folder, "results")
        write_results(results, dict(zip(truth.names, rows, strict=True)))

        def read_and_score() -> dict[str, float]:
            read = truth if ground_truth is None else find_ground_truth(ground_truth)
            return dict(score_results(match_results(results, read)).evaluation)

        text, from_text = _timed(read_and_score, _REPEATS)
    literal, literally = _timed(lambda: literal_widerface_ap(corners, truth.faces, truth.kept), 1)
    return EvaluationBench(
        images=len(truth.names),
        faces=sum(map(len, truth.faces)),
        detections=sum(map(len, rows)),
        ground_truth="generated" if ground_truth is None else truth.source,
        arrays=arrays,
        text=text,
        literal=literal,
        largest_difference=max(
            abs(ap[setting] - literally[setting]) for ap in (from_arrays, from_text) for setting in SETTINGS
        ),
    )


def _timed(work: Callable[[], dict[str, float]], repeats: int) -> tuple[Timing, dict[str, float]]:
    timings = []
    found: dict[str, float] = {}
    for _ in range(repeats):
        started, cpu_started = time.perf_counter(), time.process_time()
        found = work()
        timings.append((time.perf_counter() - started, time.process_time() - cpu_started))
    seconds, cpu_seconds = min(timings)
    return Timing(seconds=seconds, cpu_seconds=cpu_seconds), found


def _made_up(generator: np.random.Generator, num_images: int) -> GroundTruth:
    """Faces in numbers and sizes that spread as widely as WIDER FACE's: most images have few, some hundreds."""
    faces: list[Float64[np.ndarray, "_ 4"]] = []
    for num in generator.lognormal(np.log(_FACES_AN_IMAGE) - 0.98, 1.4, num_images).astype(int).clip(1, 1000):
        heights = generator.lognormal(np.log(30), 0.9, num).clip(4, 700)
        sizes = np.column_stack([heights * generator.uniform(0.65, 0.9, num), heights])
        corners = generator.uniform(0, np.maximum([1024, 1000] - sizes, 1))
        faces.append(np.round(np.concatenate([corners, corners + sizes], axis=1)))
    heights_px = {"easy": 50, "medium": 30, "hard": 10}
    return GroundTruth(
        definition="by height",
        source="generated",
        sha256="",
        names=tuple(f"{image % 61}--Event/{image}" for image in range(num_images)),
        faces=tuple(faces),
        kept={
            setting: tuple(boxes[:, 3] - boxes[:, 1] >= least for boxes in faces)
            for setting, least in heights_px.items()
        },
    )


def _detections(
    generator: np.random.Generator, faces: Float64[np.ndarray, "face 4"]
) -> Float64[np.ndarray, "_ 5"]:
    """Rows `x y w h score` with three decimals: most faces found, once or twice, and false positives."""
    found = faces[generator.random(len(faces)) < 0.85]
    found = np.concatenate([found, found[generator.random(len(found)) < 0.3]])
    sizes = np.maximum(found[:, 2:] - found[:, :2], 1)
    boxes = np.concatenate([found[:, :2], sizes], axis=1)
    boxes += generator.normal(0, 0.08, boxes.shape) * np.tile(sizes, 2)
    num_false = generator.poisson(_DETECTIONS_AN_IMAGE - 1.1 * _FACES_AN_IMAGE)
    false = generator.uniform([0, 0, 8, 8], [1000, 700, 90, 110], (num_false, 4))
    scores = np.concatenate([generator.beta(5, 1.5, len(boxes)), generator.beta(1.2, 6, num_false)])
    rows = np.column_stack([np.concatenate([boxes, false]), scores])
    rows[:, 2:4] = np.maximum(rows[:, 2:4], 1)
    return np.round(rows[np.argsort(-rows[:, 4])], 3)


def as_json(bench: EvaluationBench) -> dict[str, Any]:
    """The benchmark as JSON values."""
    timings = {"arrays": bench.arrays, "text": bench.text, "literal": bench.literal}
    return {
        "images": bench.images,
        "faces": bench.faces,
        "detections": bench.detections,
        "ground_truth": bench.ground_truth,
        **{
            name: {"seconds": timing.seconds, "cpu_seconds": timing.cpu_seconds}
            for name, timing in timings.items()
        },
        "arrays_ratio": bench.arrays_ratio,
        "text_ratio": bench.text_ratio,
        "largest_difference": bench.largest_difference,
    }


def as_lines(bench: EvaluationBench) -> Sequence[str]:
    """The benchmark as lines of text, 80 columns wide."""
    ways = [
        ("literal form, from arrays", bench.literal, ""),
        ("crface, from arrays", bench.arrays, f"{bench.arrays_ratio:.0f}x"),
        ("crface, from text files", bench.text, f"{bench.text_ratio:.0f}x"),
    ]
    return [
        f"{bench.images} images, {bench.faces} faces ({bench.ground_truth}), {bench.detections} detections",
        f"{'':28}{'seconds':>10}{'CPU seconds':>14}{'faster':>9}",
        *(
            f"{name:28}{timing.seconds:10.2f}{timing.cpu_seconds:14.2f}{ratio:>9}"
            for name, timing, ratio in ways
        ),
        f"largest difference in AP: {bench.largest_difference:.1e}; faster: by CPU time, in this one run",
    ]
