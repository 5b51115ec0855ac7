"""The results folder: `ap.parquet`, one row per number; `pr_curves.parquet`; and the record of what they came from."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from jaxtyping import Float64

from pipeline.errors import UserError
from pipeline.workspace.fingerprint import Parts, differences, file_sha256
from pipeline.workspace.layout import Workspace
from pipeline.workspace.tables import Table
from pipeline.workspace.writing import write_atomically

Confidence = Literal["predicted", "ranked", "oracle"]
Kind = Literal["official", "exact"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Which boxes and which confidence a figure is about, and how it was computed."""

    split: str
    detector: str
    weights: str
    """The sha256 of the detector's weights."""
    protocol: str
    """How images are presented to the detector."""
    input_size: str
    """The size at which the detector saw the images, in words."""
    fingerprint: str
    """The candidates' fingerprint."""
    confidence: Confidence
    """predicted by the detector, ranked by the ranker, or the oracle: IoU with the closest labelled face."""
    candidates: str
    """Which candidates take part: "all", or "above 0.02" by the detector's confidence."""
    ranker: str
    """The ranker's fingerprint; empty unless the confidence is ranked."""
    ground_truth: str
    """The sha256 of the ground truth."""
    iou: float
    """The IoU with a face that makes a detection a hit."""
    nms_iou: float
    """The IoU above which NMS suppresses the box with the lower score."""
    score_threshold: float
    """Candidates at or below this confidence were left out, except where `candidates` says all."""

    @property
    def is_all(self) -> bool:
        """Whether all candidates took part, whatever the detector's confidence in them."""
        return self.candidates == "all"


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions(Origin):
    """The conditions of one figure: two figures are comparable where these agree."""

    setting: str
    """easy, medium, hard; all; or a bin of face heights such as `20-40 px`: above 20 and up to 40."""
    definition: str
    """How the setting chooses its faces: official or by height; every face; face height."""
    kind: Kind
    """official: 1000 thresholds; exact: every score is a threshold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApRow(Conditions):
    """One number of the table."""

    ap: float
    """0..1; NaN where the setting keeps no face."""
    ap_low: float
    """Lower end of the 95 % interval of AP, a bootstrap over images. NaN where no interval is computed: with all
    candidates, in settings other than easy, medium and hard, without resamples, or for too many images."""
    ap_high: float
    """Upper end of the 95 % interval of AP; NaN where no interval is computed."""
    gain: float
    """AP minus that of the predicted confidence under the same conditions; NaN for predicted."""
    gain_low: float
    """Lower end of the 95 % interval of the gain, both confidences resampled together; NaN as `ap_low`."""
    gain_high: float
    """Upper end of the 95 % interval of the gain; NaN as `ap_low`."""
    recovered: float
    """Share of the oracle gap (AP of the oracle with all candidates, minus predicted) that ranking won back;
    negative where it lost. NaN unless the confidence is ranked, and where there is no gap."""
    images: int
    faces: int
    """How many faces the setting keeps."""

    @property
    def is_gain_real(self) -> bool:
        """Whether the interval of the gain excludes zero: other images would hardly have shown the opposite."""
        return self.gain_low > 0 or self.gain_high < 0


@dataclass(frozen=True, slots=True, kw_only=True)
class CurveRow(Conditions):
    """One precision-recall curve, by falling threshold."""

    precision: Float64[np.ndarray, " threshold"]
    recall: Float64[np.ndarray, " threshold"]
    thresholds: Float64[np.ndarray, " threshold"]


_AP, _CURVES, _INPUTS = "ap.parquet", "pr_curves.parquet", "inputs.json"


def ap_table(workspace: Workspace) -> Table[ApRow]:
    """The file `ap.parquet`."""
    return Table(workspace.results / _AP, ApRow, "crface evaluate")


def curve_table(workspace: Workspace) -> Table[CurveRow]:
    """The file `pr_curves.parquet`."""
    return Table(workspace.results / _CURVES, CurveRow, "crface evaluate")


def write_results(
    workspace: Workspace,
    tables: Sequence[tuple[Table[Any], Sequence[Any]]],
    notes: Sequence[str],
    parts: Parts,
) -> None:
    """Replace the tables of an evaluation by these rows, and last of all the record of what they were computed from.

    Raises UserError when the folder cannot be written.
    """
    folder = workspace.results
    try:
        # without its record a half-replaced folder counts as not computed
        (folder / _INPUTS).unlink(missing_ok=True)
        for table, rows in tables:
            table.write(rows)
        hashes = {table.path.name: file_sha256(table.path) for table, _ in tables}
        record = json.dumps({"parts": parts, "files": hashes, "notes": list(notes)}, indent=2)
        write_atomically(folder / _INPUTS, record.encode())
    except OSError as error:
        raise UserError(f"cannot write the results {folder}: {error.strerror or error}") from error


def changes(workspace: Workspace, parts: Parts) -> list[str]:
    """Why results from `parts` have to be computed; empty if they are there and undamaged."""
    folder = workspace.results
    try:
        record = json.loads((folder / _INPUTS).read_bytes())
        found, hashes = dict(record["parts"]), dict(record["files"])
    except FileNotFoundError:
        return ["not computed yet"]
    except (OSError, ValueError, KeyError, TypeError):
        return [f"{folder / _INPUTS} is damaged"]
    for name in dict.fromkeys((_AP, _CURVES, *hashes)):
        try:
            if file_sha256(folder / name) != hashes.get(name):
                return [f"{name} is not what was written"]
        except OSError:
            return [f"{name} is missing"]
    return differences(found, json.loads(json.dumps(parts)))


def read_ap(workspace: Workspace) -> list[ApRow]:
    """The rows of `ap.parquet`.

    Raises UserError when there is none, or it is damaged.
    """
    return ap_table(workspace).read()


def read_curves(workspace: Workspace) -> list[CurveRow]:
    """The rows of `pr_curves.parquet`.

    Raises UserError when there is none, or it is damaged.
    """
    return curve_table(workspace).read()


def read_notes(workspace: Workspace) -> list[str]:
    """The sentences that belong under the table: what its numbers leave out.

    Raises UserError when there are no results, or their record is damaged.
    """
    path = workspace.results / _INPUTS
    try:
        return [str(note) for note in json.loads(path.read_bytes())["notes"]]
    except FileNotFoundError:
        raise UserError(f"there are no results {path}: run `crface evaluate`") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"the results {path} are damaged ({error}): run `crface evaluate` again") from error
