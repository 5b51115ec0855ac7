"""crface dataset index: the up-to-date index of each split."""

from pipeline.workspace.lock import command_line
from workflows.job.data import update_indexes
from workflows.job.job import Job


def index(job: Job) -> None:
    """Bring the workspace's indexes up to date."""
    with job.workspace.locked(command_line()):
        update_indexes(job)
