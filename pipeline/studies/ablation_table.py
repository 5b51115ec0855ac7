"""A sweep as text, 80 columns wide: mean and spread over seeds, for each detector, beside the paper's numbers."""

import textwrap
from collections.abc import Mapping, Sequence
from typing import Final

from pipeline.results.ablation import SweepRow, mean_and_spread, read_rows
from pipeline.results.ablation_figures import AblationFigure, SweepFigure, read_figures
from pipeline.results.paper import LOSSES, PAIRS
from pipeline.results.text import WIDTH, counted
from pipeline.studies.ablation import DETECTOR, AblationPlan, Sweep

_PAPER: Final[Mapping[Sweep, Mapping[str, tuple[str, str, str]]]] = {"losses": LOSSES, "pairs": PAIRS}
_TABLE: Final = {"losses": "Table 1", "pairs": "Table 2"}


def sweep_rows(plan: AblationPlan) -> list[SweepRow]:
    """The rows of all tasks that are done, in the order of the table."""
    return [
        SweepRow(setting=task.setting, seed=task.seed, row=row)
        for task in plan.tasks
        for row in read_rows(plan.spec.workspace, task.fingerprint) or ()
    ]


def sweep_figures(plan: AblationPlan) -> list[SweepFigure]:
    """What the detector's task and those of the first seed left for figures, in the order of the table."""
    first: dict[str, list[AblationFigure]] = {}
    for task in plan.tasks:
        if task.setting not in first:
            first[task.setting] = read_figures(plan.spec.workspace, task.fingerprint)
    return [SweepFigure(setting=setting, row=row) for setting, rows in first.items() for row in rows]


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
        lines.append(_line(label, found, " ".join(_PAPER[plan.spec.sweep].get(setting, ()))))
    oracle = [row for row in rows if row.row.confidence == "oracle"]
    return "\n".join([*lines, _line("oracle", oracle, "")])


def _line(label: str, rows: Sequence[SweepRow], paper: str) -> str:
    columns = ([getattr(row.row, f"ap_{name}") for row in rows] for name in ("easy", "medium", "hard"))
    numbers = "".join(f"{mean_and_spread(values):>12}" for values in columns)
    return f"{label:25}{numbers}  {paper:14}".rstrip()
