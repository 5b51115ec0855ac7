"""What all blocks of one source's evaluation share, and how the blocks are run."""

import os
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeVar

from pipeline.blocks.plan import Block
from pipeline.config.sections import EvaluateConfig
from pipeline.evaluate.label_source import LabelSource
from pipeline.evaluate.sources import Source

if TYPE_CHECKING:
    from pipeline.evaluate.detections import Variant

Part = TypeVar("Part")


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluateSpec:
    """What all blocks of one source share; a few hundred bytes, sent with each block."""

    source: Source
    config: EvaluateConfig
    labels: LabelSource
    is_by_height: bool
    """Whether the ground truth is made from the index's labels, and no `.mat` file is read."""
    reads_block_alone: bool = False
    """Whether a block reads its own labels only: for processes that do not hold those of the whole split."""
    extremes: Mapping["Variant", tuple[float, float]] | None = None
    """The range of the scores of the whole data set, which sums need; None for records."""


class Runner(Protocol):
    """A way to call `function(spec, block)` for every block, handing over each result as it arrives."""

    def __call__(
        self,
        function: Callable[[EvaluateSpec, Block], Part],
        spec: EvaluateSpec,
        blocks: Sequence[Block],
        on_part: Callable[[Part], None],
    ) -> None:
        """Run all blocks; `on_part` gets every result once, in any order, in the calling thread."""


def in_threads(
    function: Callable[[EvaluateSpec, Block], Part],
    spec: EvaluateSpec,
    blocks: Sequence[Block],
    on_part: Callable[[Part], None],
) -> None:
    """Run the blocks in threads of this process, a few at a time; results arrive in the order of the blocks."""
    num_threads = os.cpu_count() or 1
    flight: deque[Future[Part]] = deque()
    with one_torch_thread(), ThreadPoolExecutor(num_threads, thread_name_prefix="evaluate") as pool:
        for block in blocks:
            if len(flight) == 2 * num_threads:
                on_part(flight.popleft().result())
            flight.append(pool.submit(function, spec, block))
        while flight:
            on_part(flight.popleft().result())


@contextmanager
def one_torch_thread() -> Iterator[None]:
    """Keep torch to the thread that calls it, here and in threads started within, for the length of a `with` block.

    On an image's candidates and faces torch's own threads cost more than they gain: they wait for each other, and
    where other programs want the cores, for these.
    """
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
