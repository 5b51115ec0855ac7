"""crface without a command: what is done in a workspace, and what comes next."""

from pipeline.dataset.index import load_index
from pipeline.workspace.place import listed
from workflows.commands.plan import Entry, stage_entries
from workflows.commands.plans import JobPlans
from workflows.job.job import Job


def next_steps(job: Job) -> list[Entry]:
    """What the stages after the index would do, for the images as they are indexed; no image is looked at.

    Raises UserError when the workspace is damaged.
    """
    indexes = {
        path.stem: load_index(job.workspace, path.stem)
        for path in listed(job.workspace.index("x").parent, "*.parquet")
    }
    return stage_entries(JobPlans(job, indexes))
