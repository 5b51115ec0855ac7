"""The report: one HTML page that needs nothing else: tables, curves, pictures, and how to repeat the run."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from pipeline.config.sections import RunConfig
from pipeline.dataset.index import Index
from pipeline.errors import UserError
from pipeline.evaluate.plan import plan_evaluate
from pipeline.evaluate.sources import Source
from pipeline.results.findings import CALIBRATION, FAILURES
from pipeline.results.timings import NAME as TIMINGS
from pipeline.workspace.fingerprint import Parts, differences, file_sha256
from pipeline.workspace.layout import Workspace
from pipeline.workspace.place import Place
from pipeline.workspace.writing import write_atomically

REPORT_VERSION: Final = 2
"""Raised when the page changes for the same results."""

_PAGE, _INPUTS = "index.html", "inputs.json"
_NUM_PICTURES = 12
_RESULTS = ("ap.parquet", "pr_curves.parquet", FAILURES, CALIBRATION)


def plan_report(
    workspace: Workspace,
    index: Index,
    sources: Sequence[Source],
    config: RunConfig,
    title: str,
    ground_truth: Path | None = None,
) -> Parts:
    """Give all that decides the page, the machine and the code's commit excepted; reads no candidates.

    Raises UserError as `plan_evaluate` does.
    """
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
        "title": title,
        "config": config.model_dump(mode="json"),
        "results": plan_evaluate(index, sources, config.evaluate, ground_truth),
        "data set": str(index.data_root),
        "files": {name: file_sha256(path) if path.is_file() else "" for name, path in files.items()},
    }


def changes(workspace: Workspace, parts: Parts) -> list[str]:
    """Say why a page from `parts` has to be written; empty if the one that is there is such and undamaged."""
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


def build_report(
    workspace: Workspace,
    index: Index,
    sources: Sequence[Source],
    config: RunConfig,
    title: str,
    ground_truth: Path | None = None,
) -> Place:
    """Write `report/index.html` from the results of these sources, and give its path.

    Nothing in the page is fetched from elsewhere. The pictures are the images of the split that changed most.

    Raises UserError when there are no results, when results, candidates or scores are damaged, and when the
    page cannot be written.
    """
    from pipeline.report.page import render  # with torch, which planning need not wait for

    parts = plan_report(workspace, index, sources, config, title, ground_truth)
    page = render(workspace, index, sources, config, title, ground_truth, _NUM_PICTURES).encode()
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
