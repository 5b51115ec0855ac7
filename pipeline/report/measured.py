"""What was measured in a run: all stored rows that the paper's tables are made from."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from pipeline.ground_truth.truth import SETTINGS
from pipeline.report.tables import percent
from pipeline.results.ablation import SweepRow
from pipeline.results.ap import ApRow
from pipeline.results.protocols import ComparisonRow


@dataclass(frozen=True, slots=True)
class Measured:
    """The rows, each empty where its command was not run."""

    data: str
    """The data set in words."""
    split: str
    """The split that was evaluated."""
    images: str
    """How many images of it, in words."""
    is_wider_val: bool
    """Whether that is WIDER FACE's validation set with its official ground truth."""
    ap: Sequence[ApRow]
    compared: Sequence[ComparisonRow]
    sweeps: Mapping[str, Sequence[SweepRow]]

    @property
    def where(self) -> str:
        """What the evaluation's own rows were measured on."""
        return f"{self.data}, {self.split}, {self.images}"

    def official(self) -> Iterator[tuple[ApRow, tuple[str, ...]]]:
        """Predicted and ranked of each detector, with the official AP of each setting as text."""
        wanted = [r for r in self.ap if r.kind == "official" and r.confidence in ("predicted", "ranked")]
        for key in dict.fromkeys((row.detector, row.confidence) for row in wanted):
            own = [row for row in wanted if (row.detector, row.confidence) == key]
            yield own[0], ap_cells(own)


def ap_cells(rows: Sequence[ApRow]) -> tuple[str, ...]:
    """AP in each setting as text, of rows that differ in their setting alone."""
    ap = {row.setting: row.ap for row in rows}
    return tuple(percent(ap.get(setting, float("nan"))) for setting in SETTINGS)
