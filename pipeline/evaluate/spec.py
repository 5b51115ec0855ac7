"""What every block of one source's evaluation shares, and what runs the blocks."""

import os
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

from pipeline.blocks.plan import Block
from pipeline.config.sections import EvaluateConfig
from pipeline.evaluate.sources import Source
from pipeline.workspace.layout import Workspace

if TYPE_CHECKING:
    from pipeline.evaluate.detections import Variant

Part = TypeVar("Part")


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluateSpec:
    """What every block of one source shares; a few hundred bytes, sent along with each block."""

    workspace: Workspace
    source: Source
    config: EvaluateConfig
    index_digest: str
    """Of the index that the blocks were planned from."""
    labels_digest: str
    ground_truth: Path | None
    """The folder of the official `.mat` files, if it was named."""
    ground_truth_sha256: str
    is_by_height: bool
    """Whether the ground truth is made from the index's labels, and no `.mat` file is read."""
    reads_block_alone: bool = False
    """For a process that does not have the labels of the whole split already: reads those of its blocks."""
    extremes: Mapping["Variant", tuple[float, float]] | None = None
    """The range of scores of the whole data set, for sums."""


class Runner(Protocol):
    """Something that has `function(spec, block)` done for every block and hands over each part as it comes."""

    def __call__(
        self,
        function: Callable[[EvaluateSpec, Block], Part],
        spec: EvaluateSpec,
        blocks: Sequence[Block],
        on_part: Callable[[Part], None],
    ) -> None:
        """Do it; every part is handed over once, in any order, in this thread."""


def in_threads(
    function: Callable[[EvaluateSpec, Block], Part],
    spec: EvaluateSpec,
    blocks: Sequence[Block],
    on_part: Callable[[Part], None],
) -> None:
    """Do the blocks in threads of this process, a few at a time; parts come in the order of the blocks."""
    num_threads = os.cpu_count() or 1
    flight: deque[Future[Part]] = deque()
    # one block a thread: torch's own threads cost more than they gain on arrays of this size
    with ThreadPoolExecutor(num_threads, thread_name_prefix="evaluate") as pool:
        for block in blocks:
            if len(flight) == 2 * num_threads:
                on_part(flight.popleft().result())
            flight.append(pool.submit(function, spec, block))
        while flight:
            on_part(flight.popleft().result())
