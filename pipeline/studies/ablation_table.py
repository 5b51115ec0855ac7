"""A sweep as text, 80 columns wide: mean and spread over seeds, for each detector, beside the paper's numbers."""

import math
import statistics
import textwrap
from collections.abc import Mapping, Sequence
from typing import Final

from pipeline.results.ablation import SweepRow, read_rows
from pipeline.results.text import NONE, WIDTH, counted
from pipeline.studies.ablation import DETECTOR, AblationPlan, Sweep

_PAPER: Final[Mapping[Sweep, Mapping[str, str]]] = {
    "losses": {
        DETECTOR: "95.8 95.2 91.5",
        "cross-entropy": "95.0 94.0 89.7",
        "l1": "95.1 94.4 90.0",
        "l2": "95.1 94.3 90.4",
        "smooth-l1": "95.2 94.5 90.7",
        "rank": "96.9 96.2 92.7",
    },
    "pairs": {
        DETECTOR: "95.8 95.2 91.5",
        "1": "96.7 95.8 91.9",
        "2": "96.8 95.9 92.2",
        "3": "96.7 95.9 92.1",
        "5": "96.8 96.0 92.3",
        "10": "96.9 96.2 92.7",
        "20": "96.8 96.0 92.4",
        "50": "96.8 95.9 92.1",
        "100": "96.7 95.8 91.9",
    },
}
"""Tables 1 and 2: easy, medium, hard of HRNet's candidates on WIDER FACE."""

_TABLE: Final = {"losses": "Table 1", "pairs": "Table 2"}


def sweep_rows(plan: AblationPlan) -> list[SweepRow]:
    """The rows of all tasks that are done, in the order of the table."""
    return [
        SweepRow(setting=task.setting, seed=task.seed, row=row)
        for task in plan.tasks
        for row in read_rows(plan.spec.workspace, task.fingerprint) or ()
    ]


def format_sweep(plan: AblationPlan, rows: Sequence[SweepRow], title: str) -> str:
    """A sweep as text: for each detector one table with a row for the detector, each setting and the oracle.

    AP in percent, with more than one seed as mean and standard deviation (of the sample); a dash where
    a training diverged or is not done. `title` names the data set.
    """
    spec = plan.spec
    train = spec.train
    seeds = len({task.seed for task in plan.tasks if task.setting != DETECTOR})
    introduction = (
        f"{spec.sweep} of the ranker {train.ranker}, {train.iterations} steps of {train.batch_size} images, N = "
        f"{train.num_candidates}, {train.image_side_px} px, {counted(seeds, 'seed')}; {title}, split "
        f"{spec.test_keys[0].split}: official AP in %, IoU {spec.evaluate.iou:g}, NMS {spec.evaluate.nms_iou:g}"
    )
    remark = (
        f"paper: {_TABLE[spec.sweep]}, easy medium hard, HRNet on WIDER FACE: other pictures and a longer training, "
        "so that only the order of the rows compares"
    )
    settings = list(dict.fromkeys(task.setting for task in plan.tasks))
    tables = [
        _one_table(plan, [row for row in rows if row.row.detector == key.detector], settings, key.detector)
        for key in spec.test_keys
    ]
    return "\n\n".join([textwrap.fill(introduction, WIDTH), *tables, textwrap.fill(remark, WIDTH)])


def _one_table(plan: AblationPlan, rows: Sequence[SweepRow], settings: Sequence[str], detector: str) -> str:
    lines = [f"{detector[:25]:25}{'easy':>12}{'medium':>12}{'hard':>12}  paper"]
    for setting in settings:
        wanted = sum(task.setting == setting for task in plan.tasks)
        confidence = "predicted" if setting == DETECTOR else "ranked"
        found = [row for row in rows if row.setting == setting and row.row.confidence == confidence]
        label = setting if len(found) == wanted else f"{setting} ({len(found)} of {wanted})"
        lines.append(_line(label, found, _PAPER[plan.spec.sweep].get(setting, "")))
    oracle = [row for row in rows if row.row.confidence == "oracle"]
    return "\n".join([*lines, _line("oracle", oracle, "")])


def _line(label: str, rows: Sequence[SweepRow], paper: str) -> str:
    columns = ([getattr(row.row, f"ap_{name}") for row in rows] for name in ("easy", "medium", "hard"))
    numbers = "".join(f"{_mean_and_spread(values):>12}" for values in columns)
    return f"{label:25}{numbers}  {paper:14}".rstrip()


def _mean_and_spread(values: Sequence[float]) -> str:
    if not values or any(math.isnan(value) for value in values):
        return NONE
    mean = f"{100 * statistics.fmean(values):.1f}"
    return mean if len(values) == 1 else f"{mean} ±{100 * statistics.stdev(values):.1f}"
