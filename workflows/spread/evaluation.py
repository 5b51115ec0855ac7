"""Computing an evaluation's blocks in threads of this process, or on a cluster."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TypeVar

from pipeline.blocks.plan import Block
from pipeline.evaluate.spec import EvaluateSpec, Runner, in_threads
from workflows.cluster.open import open_cluster
from workflows.spread.scatter import run_blocks

Part = TypeVar("Part")


@contextmanager
def evaluation_runner(cluster: str) -> Iterator[Runner]:
    """A runner of an evaluation's blocks; its cluster, if any, is closed at the end.

    `local` uses threads of this process: starting worker processes, which import everything again, takes longer than
    evaluating a few hundred images. All other values are as for `open_cluster`.

    Raises UserError and UsageError as `open_cluster` does; the runner raises UserError as `run_blocks` does.
    """
    if cluster == "local":
        yield in_threads
        return
    with open_cluster(cluster) as client:

        def run(
            function: Callable[[EvaluateSpec, Block], Part],
            spec: EvaluateSpec,
            blocks: Sequence[Block],
            on_part: Callable[[Part], None],
        ) -> None:
            spec = replace(spec, reads_block_alone=True)
            run_blocks(client, function, spec, blocks, on_part, is_kept=False).check()

        yield run
