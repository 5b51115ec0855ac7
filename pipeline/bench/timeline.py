"""What the threads of this process do while one block is cached: when each part of the work begins and ends."""

import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, FrameType
from typing import TYPE_CHECKING, Final

from pipeline.bench.drawing import COLOURS, drawn
from pipeline.cache.plan import CacheSpec, plan_cache
from pipeline.cache.work import cache_block, prepare_cache
from pipeline.config.sections import CacheConfig
from pipeline.dataset.index import update_index
from pipeline.workspace.layout import Workspace

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PARTS: Final[Mapping[str, str]] = {
    "pipeline.dataset.index.planned_rows": "read the index",
    "pipeline.blocks.decoding._decode": "read and decode",
    "detectors.adapter.NetworkDetector.candidates": "sort, decode boxes",
    "detectors.forward.bounded.BoundedForward.__call__": "forward",
    "pipeline.cache.detecting._checked": "check",
    "pipeline.blocks.store.RowStore.write_block": "compress, write",
    "pipeline.blocks.ledger.Ledger.commit": "record",
}
"""What the functions that are watched do, by their names; the part that begins within another is taken out of it."""

ALL: Final = "the block"


@dataclass(frozen=True, slots=True)
class Span:
    """One call of a part."""

    part: str
    thread: int
    """0 for the thread that works on the block, then those that it starts."""
    start_s: float
    stop_s: float


def block_timeline(
    detector: str, pictures: Path, num_images: int, folder: Path, num_threads: int
) -> list[Span]:
    """The spans of caching the images of a plain folder as one block, on so many threads of torch.

    The block is computed once before: the detector is loaded, and has seen such images.
    """
    import torch

    torch.set_num_threads(num_threads)
    workspace = Workspace(folder)
    index = update_index(workspace, pictures, "images").index
    plan = plan_cache(workspace, index, detector, CacheConfig(block_images=num_images))
    spec = plan.spec
    assert isinstance(spec, CacheSpec), "a single view is not fused"
    prepare_cache(plan)
    cache_block(spec, plan.blocks[0])
    return recorded(lambda: cache_block(spec, plan.blocks[0]), PARTS)


def recorded(work: Callable[[], object], parts: Mapping[str, str]) -> list[Span]:
    """The calls of some functions during a piece of work, here and on the threads that it starts, by their start.

    Python's own profiling hook tells of them, so the code that is watched is as it always is.
    """
    known: dict[CodeType, str | None] = {}
    threads = {threading.get_ident(): 0}
    begun: dict[int, float] = {}
    spans: list[Span] = []

    def watch(frame: FrameType, event: str, argument: object) -> None:
        code = frame.f_code
        if code not in known:
            known[code] = parts.get(f"{frame.f_globals.get('__name__')}.{code.co_qualname}")
        if (part := known[code]) is None:
            return
        now = time.perf_counter() - started
        if event == "call":
            begun[id(frame)] = now
        elif event == "return" and id(frame) in begun:
            thread = threads.setdefault(threading.get_ident(), len(threads))
            spans.append(Span(part, thread, begun.pop(id(frame)), now))

    threading.setprofile(watch)
    sys.setprofile(watch)
    started = time.perf_counter()
    try:
        work()
    finally:
        stopped = time.perf_counter() - started
        sys.setprofile(None)
        threading.setprofile(None)
    return [Span(ALL, 0, 0.0, stopped), *sorted(spans, key=lambda span: span.start_s)]


def shares(spans: Sequence[Span]) -> dict[str, float]:
    """The seconds that each part took altogether without the parts within it; those of the block are the rest."""
    own = [span.stop_s - span.start_s for span in spans]
    within: list[int] = []
    for thread in {span.thread for span in spans}:
        within.clear()
        for i, span in enumerate(spans):
            if span.thread != thread:
                continue
            while within and spans[within[-1]].stop_s <= span.start_s:
                within.pop()
            if within:
                own[within[-1]] -= span.stop_s - span.start_s
            within.append(i)
    taken: dict[str, float] = {}
    for span, seconds in zip(spans, own, strict=True):
        taken[span.part] = taken.get(span.part, 0.0) + seconds
    return taken


def as_table(spans: Sequence[Span]) -> list[str]:
    """The parts as a table: milliseconds and the share of the block's time, by the clock."""
    whole = spans[0].stop_s
    on_others = {span.part for span in spans if span.thread}
    return [
        f"one block: {1000 * whole:.0f} ms",
        *(
            f"  {'all else' if part == ALL else part:20}{1000 * seconds:9.1f} ms{100 * seconds / whole:7.1f} %"
            + ("  on another thread" if part in on_others else "")
            for part, seconds in shares(spans).items()
        ),
    ]


def as_svg(spans: Sequence[Span], title: str) -> bytes:
    """The time line as a picture: a row for each thread, a colour for each part."""
    shown = [part for part in dict.fromkeys(PARTS.values()) if any(span.part == part for span in spans)]
    num_threads = 1 + max(span.thread for span in spans)

    def draw(figure: "Figure") -> None:
        axes = figure.add_subplot()
        for colour, part in zip(COLOURS, shown, strict=False):
            label = part
            for thread in range(num_threads):
                bars = [
                    (1000 * span.start_s, 1000 * (span.stop_s - span.start_s))
                    for span in spans
                    if span.part == part and span.thread == thread
                ]
                if bars:
                    axes.broken_barh(bars, (-thread - 0.4, 0.8), color=colour, label=label)
                    label = ""  # once in the legend
        axes.set_yticks([-thread for thread in range(num_threads)], ["block", *["ahead"] * (num_threads - 1)])
        axes.set_xlabel("ms")
        axes.set_title(title, loc="left")
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.35), ncols=4)

    return drawn(draw, (8, 1.6))
