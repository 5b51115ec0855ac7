"""crface bench loader: the speed at which a job's training examples are loaded."""

from collections.abc import Sequence

from pipeline.bench.loader import LoaderBench, bench_loader
from pipeline.blocks.complete import open_complete
from workflows.commands.plans import JobPlans
from workflows.job.data import chosen_split, stored_indexes
from workflows.job.job import Job


def time_loader(job: Job, num_images: int, threads: Sequence[int]) -> LoaderBench:
    """The loader's speed on the train split; raises UserError when its candidates are not cached."""
    indexes = stored_indexes(job)
    index = chosen_split(indexes, "train")
    stores = [
        open_complete(job.workspace, index, plan.key) for plan in JobPlans(job, indexes).candidates("train")
    ]
    return bench_loader(index, stores, job.config.train, num_images, threads)
