"""The comparison of several workspaces: one page from their stored results, without images or candidates."""

from collections.abc import Sequence

from pipeline.report import REPORT_VERSION
from pipeline.report.runs import NamedRun
from pipeline.report.written import reasons, write
from pipeline.workspace.fingerprint import Parts, file_sha256
from pipeline.workspace.layout import Workspace
from pipeline.workspace.place import Place


def compare_folder(workspace: Workspace) -> Place:
    """Where a workspace keeps the page that compares it with others."""
    return workspace.report / "compare"


def plan_compare(runs: Sequence[NamedRun]) -> Parts:
    """All that decides the page: the results of every run."""
    return {
        "stage": "compare",
        "version": REPORT_VERSION,
        "runs": {run.name: {path.name: _sha256(path) for path in _results(run.workspace)} for run in runs},
    }


def compare_changes(folder: Place, parts: Parts) -> list[str]:
    """Why the page has to be written; empty if it is there and undamaged."""
    return reasons(folder, parts)


def build_comparison(runs: Sequence[NamedRun], folder: Place) -> Place:
    """Write the page and the files beside it into a folder; returns the page's path.

    Raises UserError when a workspace has no results or they are damaged, and when a file cannot be written.
    """
    from pipeline.report.compare_page import render_comparison  # NumPy, Jinja and Matplotlib: not for a plan

    parts = plan_compare(runs)
    rendered = render_comparison(runs)
    return write(folder, rendered.page, rendered.files, parts)


def _results(workspace: Workspace) -> list[Place]:
    folder = workspace.results
    return [folder / "ap.parquet", folder / "pr_curves.parquet", workspace.protocols]


def _sha256(path: Place) -> str:
    return file_sha256(path) if path.is_file() else ""
