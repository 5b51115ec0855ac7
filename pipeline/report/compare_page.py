"""The page that compares workspaces: what ranking won in each, their tables, and their curves in one chart.

Runs are set side by side only where their ground truth and images are the same; every table names the data of each
group of rows.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pipeline.dataset.index import load_index
from pipeline.errors import UserError
from pipeline.ground_truth.truth import SETTINGS
from pipeline.report import palette
from pipeline.report.chart_model import Figure
from pipeline.report.curves import Run, runs_curves
from pipeline.report.facts import embedded_settings
from pipeline.report.files import Rendered, table_files
from pipeline.report.grid import Grid, Group, Row, Span, with_strongest
from pipeline.report.measured import ap_cells
from pipeline.report.plots import figure_files
from pipeline.report.runs import NamedRun
from pipeline.report.summary import Summary, summary
from pipeline.report.tables import NONE, percent, points
from pipeline.report.templating import environment
from pipeline.results.ap import ApRow, CurveRow, read_ap, read_curves
from pipeline.results.protocols import ComparisonRow, read_comparison
from pipeline.results.text import counted, milliseconds


@dataclass(frozen=True, slots=True)
class Compared:
    """One detector of one run."""

    run: str
    detector: str
    data: str
    """The split, ground truth and images: what has to be the same for numbers to be compared."""
    rows: list[ApRow]
    curves: list[CurveRow]
    protocols: list[ComparisonRow]

    @property
    def name(self) -> str:
        """The run and the detector."""
        return f"{self.run}: {self.detector}"


@dataclass(frozen=True, slots=True)
class Shown:
    """One detector of one run on the first screen."""

    run: str
    data: str
    summary: Summary


def render_comparison(runs: Sequence[NamedRun]) -> Rendered:
    """The page's HTML and its files.

    Raises UserError when a workspace has no results, or they are damaged.
    """
    compared = [item for run in runs for item in _of_run(run)]
    groups = _by_data(compared)
    tables = [table for table in (_ap_table(groups), _protocol_table(compared)) if table is not None]
    figures = [
        figure for number, (data, items) in enumerate(groups, 1) for figure in _figures(number, data, items)
    ]
    embedded = dict.fromkeys(text for run in runs if (text := _embedded(run)))
    page = (
        environment("pipeline.report", "templates")
        .get_template("compare.html.j2")
        .render(
            title=f"Comparison of {', '.join(run.name for run in runs)}",
            palette=palette.css(),
            embedded=list(embedded),
            runs=[(run.name, str(run.workspace.root)) for run in runs],
            shown=[_shown(item) for item in compared],
            is_one_data=len(groups) == 1,
            tables=tables,
            figures=figures,
        )
    )
    return Rendered(page, table_files(tables) | figure_files(figures))


def _shown(item: Compared) -> Shown:
    split = item.rows[0].split
    protocols = [row for row in item.protocols if row.split == split]
    return Shown(item.run, item.data, summary(item.rows, protocols))


def _by_data(compared: Sequence[Compared]) -> list[tuple[str, list[Compared]]]:
    """What was measured on the same data together, detector by detector."""
    detectors = list(dict.fromkeys(item.detector for item in compared))
    ordered = sorted(compared, key=lambda item: detectors.index(item.detector))
    return [
        (data, [item for item in ordered if item.data == data])
        for data in dict.fromkeys(item.data for item in compared)
    ]


def _of_run(run: NamedRun) -> list[Compared]:
    """The detectors of a run, in the order of its results."""
    rows, curves = read_ap(run.workspace), read_curves(run.workspace)
    protocols = read_comparison(run.workspace)
    sources = dict.fromkeys((row.split, row.detector, row.protocol, row.fingerprint) for row in rows)
    found = []
    for source in sources:
        own = [row for row in rows if (row.split, row.detector, row.protocol, row.fingerprint) == source]
        _, detector, protocol, _ = source
        found.append(
            Compared(
                run=run.name,
                detector=detector if protocol == "single" else f"{detector}, {protocol}",
                data=_data(run, own[0]),
                rows=own,
                curves=[c for c in curves if (c.split, c.detector, c.protocol, c.fingerprint) == source],
                protocols=[row for row in protocols if row.detector == detector and protocol == "single"],
            )
        )
    if not found:
        raise UserError(f"the results of {run.workspace.root} are empty: run `crface evaluate` there")
    return found


def _data(run: NamedRun, row: ApRow) -> str:
    """The images and their ground truth in words, with hashes: the same words mean the same data."""
    try:
        index = load_index(run.workspace, row.split)
        # an embedded data set lies in a folder `data` of each workspace
        name = "embedded data set (generated)" if embedded_settings(index.data_root) else index.data_root.name
        images = f", images {index.digest[:8]}"
    except UserError:
        name, images = "images not known", ""
    return (
        f"{name}, {row.split}, {counted(row.images, 'image')} (ground truth {row.ground_truth[:8]}{images})"
    )


def _embedded(run: NamedRun) -> str:
    try:
        split = read_ap(run.workspace)[0].split
        return embedded_settings(load_index(run.workspace, split).data_root)
    except (UserError, IndexError):
        return ""


def _ap_table(groups: Sequence[tuple[str, Sequence[Compared]]]) -> Grid | None:
    columns = (
        "Run",
        "Detector",
        "Confidence",
        "Easy",
        "Med",
        "Hard",
        "Gain in hard",
        "95 % interval",
        "Beyond chance",
    )
    return Grid(
        "compare-ap",
        "AP of all runs",
        columns,
        3,
        [Group(data, _ap_rows(items)) for data, items in groups],
        Span("AP (%)", 3, 3),
        [
            "Official AP; the oracle takes all candidates",
            "A gain is over the predicted confidence of the same run; between runs there are no intervals here",
        ],
    )


def _ap_rows(items: Sequence[Compared]) -> list[Row]:
    """Predicted and ranked, the highest of them strong, and the oracle, of every run."""
    lines = [cells for item in items for cells in _ap_lines(item)]
    highest = {
        row.cells for row in with_strongest([c for c in lines if c[2] != "oracle"], 5) if row.is_strong
    }
    return [Row(cells, cells in highest) for cells in lines]


def _ap_lines(item: Compared) -> list[tuple[str, ...]]:
    official = [row for row in item.rows if row.kind == "official" and row.setting in SETTINGS]
    lines = []
    for confidence, is_all in (("predicted", False), ("ranked", False), ("oracle", True)):
        own = {row.setting: row for row in official if (row.confidence, row.is_all) == (confidence, is_all)}
        if own:
            ap = (percent(own[name].ap) if name in own else NONE for name in SETTINGS)
            gain = (
                _gain(own[SETTINGS[-1]]) if confidence == "ranked" and SETTINGS[-1] in own else ("", "", "")
            )
            lines.append((item.run, item.detector, confidence, *ap, *gain))
    return lines


def _gain(row: ApRow) -> tuple[str, str, str]:
    if row.gain_low != row.gain_low:
        return points(row.gain), NONE, NONE
    interval = f"{points(row.gain_low)} to {points(row.gain_high)}"
    return points(row.gain), interval, "yes" if row.is_gain_real else "no"


def _protocol_table(compared: Sequence[Compared]) -> Grid | None:
    """The compared protocols of all runs that have some; None without any."""
    lines: dict[str, list[tuple[str, ...]]] = {}
    for item in compared:
        for row, cells in _protocol_lines(item):
            part = f"{row.images} of " if row.images < row.split_images else ""
            data = f"{row.split}, {part}{row.split_images} images (ground truth {row.ground_truth[:8]})"
            lines.setdefault(data, []).append(cells)
    if not lines:
        return None
    return Grid(
        "compare-protocols",
        "Protocols of all runs",
        ("Run", "Detector", "Protocol", "Easy", "Med", "Hard", "Speed (ms)", "Device"),
        3,
        [Group(data, with_strongest(cells, 5)) for data, cells in lines.items()],
        Span("AP (%)", 3, 3),
        ["Times of different devices or runs are not to be compared"],
    )


def _protocol_lines(item: Compared) -> Iterator[tuple[ComparisonRow, tuple[str, ...]]]:
    for split, line in dict.fromkeys((row.split, row.line) for row in item.protocols):
        own = [row for row in item.protocols if (row.split, row.line) == (split, line)]
        first = own[0]
        cells = (item.run, item.detector, line, *ap_cells(own), milliseconds(first.median_ms), first.device)
        yield first, cells


def _figures(number: int, data: str, items: Sequence[Compared]) -> list[Figure]:
    """A chart for each detector, with the curves of all runs that have it on these images."""
    figures = []
    for place, detector in enumerate(dict.fromkeys(item.detector for item in items), 1):
        own: list[Run] = [(item.run, item.rows, item.curves) for item in items if item.detector == detector]
        name = f"compare-curves-{number}-{place}"
        figures.append(runs_curves(name, f"{detector} on {data}", own))
    return figures
