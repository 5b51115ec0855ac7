"""What a reader needs to repeat a run: data, work done, versions, machine, code."""

import csv
import json
import math
import os
import platform
import shutil
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import cv2
import numpy as np

from pipeline.blocks.ledger import Ledger
from pipeline.dataset.index import Index
from pipeline.evaluate.sources import Source
from pipeline.ground_truth.truth import GroundTruth
from pipeline.report.chart_model import Chart, Figure, Series
from pipeline.report.charts import binned, line_chart
from pipeline.workspace.layout import Workspace

Facts = list[tuple[str, str]]
"""Names and values, in the order of reading."""

_PACKAGES = ("torch", "numpy", "zarr", "pyarrow", "scipy", "dask", "distributed")
_MOST_POINTS = 300  # of the training's curves


def embedded_settings(data_root: Path) -> str:
    """The settings that a data set was generated with; empty if it is not the embedded one."""
    try:
        marker = json.loads((data_root / "dataset.json").read_text(encoding="utf-8"))
        settings = dict(marker["config"])
        return ", ".join(
            f"{name} {value}" for name, value in [("generator", marker["generator"]), *settings.items()]
        )
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def data_facts(index: Index, truth: GroundTruth) -> Facts:
    """The images and faces that the report is about."""
    ok = len(index.ok_rows)
    bad = sum(row.status in ("missing", "unreadable") for row in index.rows(0, len(index)))
    faces = sum(len(index.row(row).faces) for row in index.ok_rows)
    return [
        ("Data set", str(index.data_root)),
        ("Split", index.split),
        ("Images", f"{ok:,} readable" + (f", {bad:,} missing or damaged" if bad else "")),
        ("Labelled faces", f"{faces:,}" if index.is_labelled else "no annotation text"),
        ("Ground truth", f"{truth.definition}: {truth.source}"),
    ]


def work_facts(workspace: Workspace, source: Source) -> Facts:
    """What it took to compute one source, according to its ledgers; a stage without a ledger is left out."""
    ledgers = [("Candidates", workspace.candidates_ledger(source.key))]
    if source.ranker:
        ledgers.append(("Refined confidences", workspace.scores_ledger(source.key, source.ranker)))
    facts: Facts = []
    for stage, folder in ledgers:
        rows = list(Ledger(folder).read().values())
        if not rows:
            continue
        seconds = sum(row.seconds for row in rows)
        images = sum(row.stop - row.start for row in rows)
        devices = ", ".join(sorted({row.device for row in rows if row.device})) or "an unnamed device"
        workers = len({row.worker for row in rows})
        hands = f"{workers} worker{'s' if workers > 1 else ''} on {devices}"
        facts.append((stage, f"{images:,} images in {seconds:,.1f} worker seconds, {hands}"))
    return facts


def identity_facts(index: Index, truth: GroundTruth, source: Source) -> Facts:
    """The hashes of everything that the numbers come from."""
    return [
        ("Images (hash of all)", index.digest),
        ("Labels", index.labels_digest),
        ("Ground truth", truth.sha256),
        ("Detector's weights", source.weights),
        ("Candidates (fingerprint)", source.key.fingerprint),
        *([("Ranker (fingerprint)", source.ranker)] if source.ranker else []),
    ]


def machine_facts() -> Facts:
    """The software and the machine that wrote the report."""
    memory_bytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return [
        ("crface", _version("crface") + _commit()),
        ("Python", platform.python_version()),
        *((package, _version(package)) for package in _PACKAGES),
        ("OpenCV", cv2.__version__),
        ("System", f"{platform.system()} {platform.release()} ({platform.machine()})"),
        ("Processor", f"{_processor()}, {os.cpu_count()} cores"),
        ("Memory", f"{memory_bytes / 2**30:.1f} GiB"),
    ]


def training_figure(workspace: Workspace, training: str) -> Figure | None:
    """The loss and learning rate of a ranker's training; None without a readable record here."""
    charts = training_charts(workspace, training)
    if not charts:
        return None
    legends = [[(style, name, "") for name, style, _ in chart.lines] for chart in charts]
    return Figure(
        "training",
        "Training of the ranker",
        [(chart, legend if len(legend) > 1 else []) for chart, legend in zip(charts, legends, strict=True)],
    )


def training_charts(workspace: Workspace, training: str) -> list[Chart]:
    """Charts of the loss and learning rate of a ranker's training; none without a readable record here."""
    try:
        text = (workspace.ranker(training) / "metrics.csv").read_text(encoding="utf-8")
        rows = [[float(value) for value in row] for row in list(csv.reader(text.splitlines()))[1:]]
        steps, losses, rates = np.array(rows, dtype=np.float64).reshape(-1, 3).T
    except (OSError, ValueError):
        return []
    if len(steps) < 2:
        return []
    x_range = (0.0, float(steps[-1]))
    # the mean of many steps is what trains; single steps differ by their pictures
    smooth = Series("mean of neighbouring steps", "ranked", *binned(steps, losses, 40))
    single = Series("loss", "faint", *binned(steps, losses, _MOST_POINTS))
    return [
        line_chart("Loss", "step", "loss", [single, smooth], x_range, (0.0, _ceiling(losses))),
        line_chart(
            "Learning rate",
            "step",
            "log10 of the learning rate",
            [Series("learning rate", "predicted", *binned(steps, np.log10(rates), _MOST_POINTS))],
            x_range,
            (math.floor(np.log10(rates.min())), math.ceil(np.log10(rates.max()))),
        ),
    ]


def _ceiling(losses: np.ndarray) -> float:
    """Where the loss's axis ends: a few wild steps at the beginning are cut off, not the rest flattened."""
    return float(np.quantile(losses, 0.99)) * 1.1


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _commit() -> str:
    """The commit of the code, `-dirty` if files differ from it; empty outside a repository."""
    git, folder = shutil.which("git"), Path(__file__).resolve().parents[2]
    if git is None or not (folder / ".git").exists():
        return ""
    command = [git, "-C", str(folder), "describe", "--always", "--dirty", "--exclude=*", "--abbrev=12"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)  # noqa: S603 - fixed
    except (OSError, subprocess.SubprocessError):
        return ""
    return f" at commit {done.stdout.strip()}"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or "unknown"
