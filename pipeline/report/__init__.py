"""The report: one HTML page that needs nothing else: tables, curves, pictures, and how to repeat the run."""

import hashlib
import json
from dataclasses import dataclass
from typing import Final

from pipeline.config.sections import RunConfig
from pipeline.errors import UserError
from pipeline.evaluate.plan import EvaluationInput, plan_evaluate
from pipeline.evaluate.sources import Source
from pipeline.results.findings import CALIBRATION, FAILURES
from pipeline.results.timings import NAME as TIMINGS
from pipeline.workspace.fingerprint import Parts, differences, file_sha256
from pipeline.workspace.layout import Workspace
from pipeline.workspace.place import Place
from pipeline.workspace.writing import write_atomically

REPORT_VERSION: Final = 3
"""Raised when the page changes for the same results."""

_PAGE, _INPUTS = "index.html", "inputs.json"
_NUM_PICTURES = 12
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
        # measured for their own sake, and not in every workspace
        **({"resolutions.parquet": workspace.resolutions} if workspace.resolutions.exists() else {}),
        **({"protocols.parquet": workspace.protocols} if workspace.protocols.exists() else {}),
        **({TIMINGS: workspace.results / TIMINGS} if (workspace.results / TIMINGS).exists() else {}),
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
        "data set": str(about.evaluation.index.data_root),
        "files": {name: file_sha256(path) if path.is_file() else "" for name, path in files.items()},
    }


def changes(workspace: Workspace, parts: Parts) -> list[str]:
    """Why a page from `parts` has to be written; empty if it is there and undamaged."""
    try:
        record = json.loads((workspace.report / _INPUTS).read_bytes())
        found, page = dict(record["parts"]), str(record["page"])
        if file_sha256(workspace.report / _PAGE) != page:
            return [f"{_PAGE} is not what was written"]
    except FileNotFoundError:
        return ["not written yet"]
    except (OSError, ValueError, KeyError, TypeError):
        return [f"the record {workspace.report / _INPUTS} is damaged"]
    return differences(found, json.loads(json.dumps(parts)))


def build_report(about: ReportInput) -> Place:
    """Write `report/index.html` from the results; returns its path.

    Nothing in the page is fetched from elsewhere. The pictures are the images of the split that changed most.

    Raises UserError when there are no results, when results, candidates or scores are damaged, and when the
    page cannot be written.
    """
    from pipeline.report.page import render  # with torch, which planning need not wait for

    parts = plan_report(about)
    page = render(about.evaluation, about.config, about.title, _NUM_PICTURES).encode()
    workspace = about.evaluation.workspace
    path = workspace.report / _PAGE
    try:
        (workspace.report / _INPUTS).unlink(missing_ok=True)
        write_atomically(path, page)
        record = {"parts": parts, "page": hashlib.sha256(page).hexdigest()}
        write_atomically(workspace.report / _INPUTS, json.dumps(record, indent=2).encode())
    except OSError as error:
        raise UserError(f"cannot write the report {path}: {error.strerror or error}") from error
    return path


def _metrics(workspace: Workspace, source: Source) -> Place:
    return workspace.ranker(source.training) / "metrics.csv"
