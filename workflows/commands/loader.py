"""Time how a job's training examples are made."""

from collections.abc import Sequence

from pipeline.bench.loader import LoaderBench, bench_loader
from pipeline.blocks.complete import open_complete
from workflows.commands.plans import candidate_plan
from workflows.job.data import chosen_split, stored_indexes
from workflows.job.job import Job


def time_loader(job: Job, num_images: int, threads: Sequence[int]) -> LoaderBench:
    """Measure the loader on the train split; raises UserError when its candidates are not cached."""
    index = chosen_split(stored_indexes(job), "train")
    keys = [candidate_plan(job, index, detector).key for detector in job.config.cache.detectors]
    stores = [open_complete(job.workspace, index, key) for key in keys]
    return bench_loader(index, stores, job.config.train, num_images, threads)
