"""The report: one HTML page that needs nothing else, and its tables and figures as files beside it."""

from dataclasses import dataclass
from typing import Final

from pipeline.blocks.ledger import Ledger
from pipeline.config.sections import RunConfig
from pipeline.evaluate.plan import EvaluationInput, plan_evaluate
from pipeline.evaluate.sources import Source
from pipeline.report.other_rankers import other_rankers
from pipeline.report.written import reasons, write
from pipeline.results.ablation import SWEEPS, sweep_file
from pipeline.results.ablation_figures import sweep_figure_file
from pipeline.results.findings import CALIBRATION, FAILURES
from pipeline.results.protocol_curves import line_curve_file
from pipeline.results.timings import NAME as TIMINGS
from pipeline.workspace.fingerprint import Parts, file_sha256
from pipeline.workspace.layout import Workspace
from pipeline.workspace.place import Place

REPORT_VERSION: Final = 13
"""Raised when the page or a file beside it changes for the same results."""

_RESULTS = ("ap.parquet", "pr_curves.parquet", FAILURES, CALIBRATION)


@dataclass(frozen=True, slots=True)
class ReportInput:
    """What a report is about."""

    evaluation: EvaluationInput
    """The evaluation whose results it shows."""
    config: RunConfig
    title: str


def plan_report(about: ReportInput) -> Parts:
    """All that decides the page, the machine and the code's commit excepted; found without reading candidates.

    Raises UserError as `plan_evaluate` does.
    """
    workspace, sources = about.evaluation.workspace, about.evaluation.sources
    files = {
        **{name: workspace.results / name for name in _RESULTS},
        **{path.name: path for path in _optional(workspace) if path.exists()},
        **{
            f"metrics {source.training}": _metrics(workspace, source) for source in sources if source.training
        },
    }
    return {
        "stage": "report",
        "version": REPORT_VERSION,
        "title": about.title,
        "config": about.config.model_dump(mode="json"),
        "results": plan_evaluate(about.evaluation),
        "other rankers": {source.key.detector: _other_scores(workspace, source) for source in sources},
        "data set": str(about.evaluation.index.data_root),
        "files": {name: file_sha256(path) if path.is_file() else "" for name, path in files.items()},
    }


def changes(workspace: Workspace, parts: Parts) -> list[str]:
    """Why a report from `parts` has to be written; empty if it is there and undamaged."""
    return reasons(workspace.report, parts)


def build_report(about: ReportInput) -> Place:
    """Write `report/index.html` and the files beside it from the results; returns the page's path.

    Nothing in the page is fetched from elsewhere. The pictures are the images of the split that changed most. Files
    of an earlier report that this one does not have are removed.

    Raises UserError when there are no results, when results, candidates or scores are damaged, and when a file
    cannot be written.
    """
    from pipeline.report.page import render  # with torch, which planning need not wait for

    parts = plan_report(about)
    rendered = render(about.evaluation, about.config, about.title)
    return write(about.evaluation.workspace.report, rendered.page, rendered.files, parts)


def _optional(workspace: Workspace) -> list[Place]:
    """Results that are measured for their own sake, and not in every workspace."""
    return [
        workspace.resolutions,
        workspace.protocols,
        line_curve_file(workspace),
        workspace.results / TIMINGS,
        *(sweep_file(workspace, sweep) for sweep in SWEEPS),
        *(sweep_figure_file(workspace, sweep) for sweep in SWEEPS),
    ]


def _other_scores(workspace: Workspace, source: Source) -> list[str]:
    """The other rankers that have scores of the same candidates, each with how many of its blocks are done."""
    return [
        f"{name}: {len(Ledger(workspace.scores_ledger(source.key, name)).read())} blocks"
        for name in other_rankers(workspace, source)
    ]


def _metrics(workspace: Workspace, source: Source) -> Place:
    return workspace.ranker(source.training) / "metrics.csv"
