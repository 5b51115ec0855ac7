"""A score as text of 80 columns, as JSON, and its precision-recall curves as Parquet."""

import io
import math
import textwrap
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.errors import UserError
from pipeline.evaluate.coco import CocoResult
from pipeline.evaluate.score import Score
from pipeline.ground_truth.truth import SETTINGS
from pipeline.results.text import WIDTH, aligned
from pipeline.workspace.writing import refuse_to_replace, write_atomically


def as_text(score: Score, coco: CocoResult | None = None) -> str:
    """A table of a score in percent, official AP first, with the notes below; a dash where no face counts."""
    results, truth, found = score.results, score.results.truth, score.evaluation
    kind = "WIDER FACE's validation set, official" if truth.is_official_val else truth.definition
    introduction = (
        f"{results.folder}: {found.num_images} images, {results.num_detections} detections; AP in % at IoU "
        f"{score.iou:g}; ground truth {kind}, sha256 {truth.sha256[:12]}"
    )
    spread = " of spread scores" if score.is_spread else ""
    lines = [
        ["", *SETTINGS],
        ["faces", *(str(found.num_faces[setting]) for setting in SETTINGS)],
        ["official AP" + spread, *(_percent(found.ap[setting]) for setting in SETTINGS)],
        ["exact AP", *(_percent(found.exact_ap[setting]) for setting in SETTINGS)],
    ]
    blocks = [*textwrap.wrap(introduction, WIDTH, break_long_words=False), *aligned(lines)]
    if coco is not None:
        blocks += ["", *_coco_lines(coco)]
    for note in score.notes:
        blocks += textwrap.wrap(note, WIDTH, initial_indent="- ", subsequent_indent="  ")
    return "\n".join(blocks)


def as_json(score: Score, coco: CocoResult | None = None) -> dict[str, Any]:
    """A score as JSON values, 0..1: official AP by setting at the top level, null where no face counts."""
    results, truth, found = score.results, score.results.truth, score.evaluation
    values = {
        **_settings(found.ap),
        "exact": _settings(found.exact_ap),
        "iou": score.iou,
        "scores": "spread by rank" if score.is_spread else "as given",
        "images": found.num_images,
        "detections": results.num_detections,
        "faces": found.num_faces,
        "ground_truth": {
            "source": truth.source,
            "sha256": truth.sha256,
            "definition": truth.definition,
            "is_official_val": truth.is_official_val,
        },
        "missing": list(results.missing),
        "left_out": dict(results.left_out),
        "unsorted_files": results.num_unsorted,
        "notes": score.notes,
    }
    if coco is not None:
        values["coco"] = {name: _or_null(value) for name, value in asdict(coco).items()}
    return values


def write_curves(path: Path, score: Score) -> None:
    """Write the precision-recall curves, one row per setting and kind, with the conditions that they hold under.

    Raises UserError when the file cannot be written.
    """
    truth, found = score.results.truth, score.evaluation
    rows = [
        {
            "setting": setting,
            "kind": kind,
            "definition": truth.definition,
            "ground_truth": truth.sha256,
            "iou": score.iou,
            "scores": "spread by rank" if score.is_spread else "as given",
            "ap": _or_null(ap[setting]),
            "precision": curves[setting].precision,
            "recall": curves[setting].recall,
            "thresholds": curves[setting].thresholds,
        }
        for kind, ap, curves in (
            ("official", found.ap, found.curves),
            ("exact", found.exact_ap, found.exact_curves),
        )
        for setting in SETTINGS
    ]
    columns = list(rows[0])
    refuse_to_replace(path, "Parquet file of such curves", lambda old: pq.read_schema(old).names == columns)
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, _CURVES), buffer, compression="zstd")
    try:
        write_atomically(path, buffer.getvalue())
    except OSError as error:
        raise UserError(f"cannot write the curves {path}: {error.strerror or error}") from error


_CURVES = pa.schema(
    [
        *((name, pa.string()) for name in ("setting", "kind", "definition", "ground_truth")),
        ("iou", pa.float64()),
        ("scores", pa.string()),
        ("ap", pa.float64()),
        *((name, pa.list_(pa.float64())) for name in ("precision", "recall", "thresholds")),
    ]
)


def _coco_lines(coco: CocoResult) -> list[str]:
    ap = map(_percent, (coco.ap, coco.ap50, coco.ap75, coco.ap_small, coco.ap_medium, coco.ap_large))
    ar = [_percent(coco.ar_100), "", "", *map(_percent, (coco.ar_small, coco.ar_medium, coco.ar_large))]
    return [
        f"as COCO measures, {coco.num_faces} faces with an area, at most 100 detections per image:",
        *aligned([["", "0.50:0.95", "0.50", "0.75", "small", "medium", "large"], ["AP", *ap], ["AR", *ar]]),
    ]


def _percent(share: float) -> str:
    return "-" if math.isnan(share) else f"{100 * share:.2f}"


def _settings(ap: Mapping[str, float]) -> dict[str, float | None]:
    return {setting: _or_null(ap[setting]) for setting in SETTINGS}


def _or_null(value: float) -> float | None:
    return None if math.isnan(value) else value
