"""crface view: serve the viewer until Ctrl-C."""

import click

from pipeline.dataset.index import Index
from pipeline.ground_truth.truth import GroundTruth, find_files, load_ground_truth
from pipeline.view.answers import Viewer
from pipeline.view.server import open_server
from pipeline.view.split import SplitView
from pipeline.view.stored import evaluate_config, stored_sources
from workflows.job.data import evaluation_split, stored_indexes
from workflows.job.job import Job


def view(job: Job, port: int) -> None:
    """Print the page's address and serve it until this process is interrupted."""
    with open_server(viewer(job), port) as server:
        click.echo(f"view: {server.url} (Ctrl-C ends it)")
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            click.echo("view: ended")


def viewer(job: Job) -> Viewer:
    """What the job's workspace has to look at.

    Raises UserError when it has no index or no candidates, or when labels or stores are damaged.
    """
    workspace, index = job.workspace, evaluation_split(stored_indexes(job), job.split)
    sources = stored_sources(workspace, index.split)
    split = SplitView(workspace, index, _truth(job, index), sources, evaluate_config(workspace))
    return Viewer(split, workspace, f"{workspace.root.name}: {index.split}")


def _truth(job: Job, index: Index) -> GroundTruth | None:
    if not index.is_labelled and find_files(index, job.ground_truth) is None:
        return None
    return load_ground_truth(index, job.ground_truth)
