"""Runs of the cache stage, each in a process forked from this one, which has loaded everything: cheap to kill.

`chaos_forks.py WORKSPACE PHOTOS`: for each line read a run starts; its process id and, at its end, its status are
written.
"""

import os
import sys
from pathlib import Path

import fake_detector  # noqa: F401 - what a run would load when it gets there, here loaded once for all
import torch  # noqa: F401

from pipeline.cache.plan import plan_cache
from pipeline.cache.work import cache_block, finish_cache, prepare_cache
from pipeline.config.sections import CacheConfig
from pipeline.dataset.index import update_index
from pipeline.workspace.layout import Workspace


def run(workspace: Workspace, photos: Path) -> None:
    with workspace.locked("cache"):
        index = update_index(workspace, photos, "images").index
        plan = plan_cache(workspace, index, "fake_detector:ENTRY", CacheConfig(block_images=2))
        prepare_cache(plan)
        try:
            for block in plan.blocks:
                cache_block(plan.spec, block)
        finally:
            finish_cache(plan)


def main() -> None:
    workspace, photos = Workspace(Path(sys.argv[1])), Path(sys.argv[2])
    for _ in sys.stdin:
        child = os.fork()
        if child == 0:
            run(workspace, photos)
            os._exit(0)
        print(child, flush=True)
        print(os.waitpid(child, 0)[1], flush=True)


if __name__ == "__main__":
    main()
