"""Run the cache stage as a command would, in a process that a test may kill.

`drive_cache.py WORKSPACE PHOTOS CLUSTER`
"""

import sys
from contextlib import ExitStack
from pathlib import Path

from pipeline.cache.plan import plan_cache
from pipeline.cache.work import cache_block, finish_cache, prepare_cache
from pipeline.config.sections import CacheConfig
from pipeline.dataset.index import update_index
from pipeline.workspace.layout import Workspace


def main() -> None:
    workspace = Workspace(Path(sys.argv[1]))
    index = update_index(workspace, Path(sys.argv[2]), "images").index
    plan = plan_cache(workspace, index, "fake_detector:ENTRY", CacheConfig(block_images=2))
    if not plan.blocks:
        print("nothing to do; Dask imported:", "distributed" in sys.modules)
        return
    from workflows.cluster.open import open_cluster
    from workflows.job.progress import show_progress
    from workflows.spread.scatter import run_blocks

    try:
        with ExitStack() as stack:
            stack.enter_context(workspace.locked("cache"))
            prepare_cache(plan)
            stack.callback(finish_cache, plan)  # when the workers are gone
            client = stack.enter_context(open_cluster(sys.argv[3]))
            progress = stack.enter_context(show_progress("cache", plan.num_to_compute))
            outcome = run_blocks(
                client,
                cache_block,
                plan.spec,
                plan.blocks,
                lambda report: progress.advance(report.num_images),
            )
            outcome.check()
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
