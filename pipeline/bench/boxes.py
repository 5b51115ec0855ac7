"""Non-maximum suppression and box voting beside what others offer: milliseconds, memory, and the same boxes kept."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import Any, Final

import numpy as np
import torch
from jaxtyping import Float32

from crface.boxes import box_voting, nms
from pipeline.bench.memory import megabytes, peak_bytes
from pipeline.bench.pairs import Rounds, ratio_words, time_words, timed_rounds
from pipeline.bench.plain_boxes import plain_nms, plain_voting
from pipeline.results.text import NONE, aligned
from pipeline.train.read_ahead import no_helping_threads

IOU: Final = 0.4
OWN: Final = "crface"
VOTING: Final = "crface, voting"
PLAIN_VOTING: Final = "numpy loop, voting"
_TORCHVISION: Final = "torchvision"
_LEAST_S: Final = 0.02
_PLAIN: Final = "numpy loop"

Boxes = Float32[np.ndarray, "box 5"]
Way = Callable[[Boxes], Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class BoxesBench:
    """All ways with one number of boxes."""

    num_boxes: int
    num_kept: int
    """Boxes that this package's suppression keeps."""
    rounds: Rounds
    peaks: Mapping[str, int | None]
    """Peak of the additional memory of each way, bytes."""
    differing: Mapping[str, int]
    """How many kept boxes another way keeps and this package does not, or the other way round."""
    voting_error: float
    """The largest difference between a corner of a voted box and the plain loop's, as a share of the box's side."""


def bench_boxes(nums: Sequence[int], repeats: int) -> list[BoxesBench]:
    """The ways for each number of boxes, on one thread; boxes crowd as a detector's do before suppression."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with no_helping_threads():
            return [_bench(num, repeats) for num in nums]
    finally:
        torch.set_num_threads(before)


def made_up_boxes(num: int) -> Boxes:
    """Boxes `x1 y1 x2 y2 confidence`: nine tenths crowd on faces, twenty or more each, the others lie anywhere."""
    random = np.random.default_rng(num)
    num_crowded, num_faces = num - num // 10, max(1, num // 25)
    heights = random.lognormal(np.log(40), 0.8, num_faces).clip(8, 800)
    corners = random.uniform(0, 7680, (num_faces, 2))
    faces = random.integers(num_faces, size=num_crowded)
    sides = np.column_stack([0.8 * heights, heights])[faces]
    crowded = corners[faces] + random.normal(0, 0.1, (num_crowded, 2)) * sides
    crowded_sides = sides * np.exp(random.normal(0, 0.1, (num_crowded, 2)))
    anywhere = random.uniform(0, 7680, (num - num_crowded, 2))
    anywhere_sides = random.uniform(8, 200, (num - num_crowded, 2))
    first = np.concatenate([crowded, anywhere])
    rows = np.column_stack(
        [first, first + np.concatenate([crowded_sides, anywhere_sides]), random.uniform(0.01, 1, num)]
    )
    return random.permutation(rows).astype(np.float32)


def ways() -> dict[str, Way]:
    """Every way that can be imported here, by its name; those of suppression give places, those of voting boxes."""
    found: dict[str, Way] = {OWN: _own}
    if _has_torchvision():
        found[_TORCHVISION] = _torchvision
    return found | {
        "cv2.dnn.NMSBoxes": _opencv,
        _PLAIN: lambda rows: plain_nms(rows[:, :4], rows[:, 4], IOU),
        VOTING: _own_voting,
        PLAIN_VOTING: lambda rows: plain_voting(rows[:, :4], rows[:, 4], IOU),
    }


def as_lines(benches: Sequence[BoxesBench]) -> list[str]:
    """The benchmark as tables of 80 columns."""
    lines = ["suppression and voting at IoU 0.4, one thread; x: by crface's in the same round", ""]
    for bench in benches:
        rows = [("", "CPU ms", "x", "peak MB", "differ")]
        for name in bench.rounds.ways:
            rows.append(
                (
                    name,
                    time_words(bench.rounds.spread(name, "cpu_seconds")),
                    ratio_words(bench.rounds.ratio(name, _reference(name), "cpu_seconds")),
                    megabytes(bench.peaks[name]),
                    str(bench.differing.get(name, NONE)),
                )
            )
        if not _has_torchvision():
            rows.append((_TORCHVISION, "cannot be imported", NONE, NONE, NONE))
        lines += [f"{bench.num_boxes:,} boxes, {bench.num_kept:,} kept", *aligned(rows), ""]
    worst = max(bench.voting_error for bench in benches)
    return [*lines, f"voted corners differ from the loop's by {worst:.1e} of the box's side at most"]


def as_json(benches: Sequence[BoxesBench]) -> dict[str, Any]:
    """The benchmark as JSON values."""
    return {
        "iou": IOU,
        "torchvision": _has_torchvision(),
        "boxes": [
            {
                "num_boxes": bench.num_boxes,
                "num_kept": bench.num_kept,
                "ways": bench.rounds.as_json(),
                "peak_bytes": dict(bench.peaks),
                "differing": dict(bench.differing),
                "voting_error": bench.voting_error,
            }
            for bench in benches
        ],
    }


def _bench(num: int, repeats: int) -> BoxesBench:
    rows, names = made_up_boxes(num), ways()
    rounds, made = timed_rounds({name: partial(way, rows) for name, way in names.items()}, repeats, _LEAST_S)
    own = set(made[OWN].tolist())
    voted, plain = made[VOTING], made[PLAIN_VOTING]
    sides = np.maximum(plain[:, 2:4] - plain[:, :2], 1e-6).min(axis=1, keepdims=True)
    return BoxesBench(
        num_boxes=num,
        num_kept=len(own),
        rounds=rounds,
        peaks=dict(zip(names, peak_bytes(_prepared, [(name, num) for name in names]), strict=True)),
        differing={
            name: len(own ^ set(np.asarray(kept).tolist()))
            for name, kept in made.items()
            if name not in (OWN, VOTING, PLAIN_VOTING)
        },
        voting_error=float((np.abs(voted[:, :4] - plain[:, :4]) / sides).max()),
    )


def _has_torchvision() -> bool:
    try:
        import_module(_TORCHVISION)
    except Exception:  # one built for another version of torch raises RuntimeError
        return False
    return True


def _reference(name: str) -> str:
    return VOTING if name in (VOTING, PLAIN_VOTING) else OWN


def _prepared(name: str, num: int) -> Callable[[], object]:
    torch.set_num_threads(1)
    way, rows = ways()[name], made_up_boxes(num)
    way(made_up_boxes(2))  # libraries set themselves up at their first call
    return lambda: way(rows)


def _own(rows: Boxes) -> Any:
    tensor = torch.from_numpy(rows)
    return nms(tensor[:, :4], tensor[:, 4], IOU).numpy()


def _own_voting(rows: Boxes) -> Any:
    tensor = torch.from_numpy(rows)
    boxes, scores = box_voting(tensor[:, :4], tensor[:, 4], IOU)
    return np.column_stack([boxes.numpy(), scores.numpy()])


def _torchvision(rows: Boxes) -> Any:
    torchvision_nms = import_module("torchvision.ops").nms  # not among this package's requirements
    tensor = torch.from_numpy(rows)
    return torchvision_nms(tensor[:, :4], tensor[:, 4], IOU).numpy()


def _opencv(rows: Boxes) -> Any:
    import cv2

    sizes: Any = np.column_stack(
        [rows[:, :2], rows[:, 2:4] - rows[:, :2]]
    )  # the stubs want lists, which are slower
    scores: Any = rows[:, 4]
    return np.array(cv2.dnn.NMSBoxes(sizes, scores, 0.0, IOU))
